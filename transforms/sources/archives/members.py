"""The members of an archive, and the limits on what an archive may declare."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from beamscope.transforms.fingerprints import in_plan
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.sources import Source, archive_kind

# Below this many bytes a member cannot hurt, however well it is compressed.
_RATIO_FLOOR = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much one member may ask for before it is refused.

    Attributes:
      max_member_bytes: size of a member once decompressed.
      max_compression_ratio: decompressed bytes for each stored byte, in members above 1 MiB.
      max_pixels: rows times columns of an image.
    """

    max_member_bytes: int = in_plan(default=256 << 20)
    max_compression_ratio: float = in_plan(default=200.0)
    max_pixels: int = in_plan(default=100_000_000)

    def check_size(self, name: str, size: int) -> None:
        """Raise ``member_too_big`` for more bytes than a member may have."""
        if size > self.max_member_bytes:
            raise InputError(
                Kind.MEMBER_TOO_BIG,
                f"{name!r} has more than the {self.max_member_bytes} bytes that are allowed",
            )

    def check_ratio(self, name: str, size: int, stored: int) -> None:
        """Raise ``compression_ratio`` where `size` bytes come from too few `stored` ones."""
        if size > _RATIO_FLOOR and size > self.max_compression_ratio * stored:
            raise InputError(
                Kind.COMPRESSION_RATIO,
                f"{name!r} inflates {stored} bytes by more than {self.max_compression_ratio:g}",
            )

    def check_pixels(self, width: int, height: int) -> None:
        """Raise ``too_many_pixels`` before a decoder makes room for them."""
        if width * height > self.max_pixels:
            raise InputError(
                Kind.TOO_MANY_PIXELS,
                f"{width}x{height} is more than the {self.max_pixels} pixels that are allowed",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """One image, and where a worker finds it without listing the archive again.

    Attributes:
      offset: byte at which its zip header, or its data in a tar, begins; 0 for a file.
      name: as the archive gives it. It is a name only: no path is ever made from it.
      size: bytes once decompressed, as declared.
      stored: bytes in the archive, as declared.
      deflated: whether the stored bytes are deflate's.
      crc: CRC-32 of the decompressed bytes, where the archive has it.
    """

    offset: int
    name: str
    size: int
    stored: int
    deflated: bool = False
    crc: int | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A member of an archive, and the reason if it cannot be read."""

    member: Member
    refused: InputError | None = None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images of a source, in the order in which they are read.

    Attributes:
      members: in the order of their place in an archive, by name in a directory.
      problems: one for each image that is known to be unreadable before it is read.
      archive_problems: what is wrong with the source itself; its readable images are in `members`.
      skipped: how many members were no images, by role: ``clutter``, ``not_an_image``, ``archive``
        (among files, where an archive that can be read is a source of its own).
    """

    source: Source
    members: tuple[Member, ...]
    problems: tuple[Problem, ...] = ()
    archive_problems: tuple[Problem, ...] = ()
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)


def readable_name(raw: bytes | str) -> str:
    r"""Return a member's name as text that can be written; what is no UTF-8 is ``\xNN``."""
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


class Sieve:
    """Sort the entries of one source, in their order, into images and others.

    Attributes:
      skipped: how many were no images, by role; and ``duplicate``, members that have the name of a
        image for the third time and more.
    """

    def __init__(self, source: Source, limits: Limits, names: ImageNames) -> None:
        self.skipped: Counter[str] = Counter()
        self._of_files = source.kind in ("directory", "files")
        self._limits = limits
        self._names = names
        # How many members of each name there were.
        self._seen: Counter[str] = Counter()

    def is_image(self, entry: Entry) -> bool:
        """Return whether an entry is an image that can be read; count it where it is none.

        Raises:
          InputError: for an image that cannot be read by what the archive declares, the second of
            several members of one name (it is an image's identity), and an archive in an archive.
        """
        member = entry.member
        role = self._names.role_of(member.name)
        # Among files an archive that can be read is a source of its own, and nothing is left out.
        if role == "archive" and self._of_files and archive_kind(member.name):
            return False
        if role == "archive" and not self._of_files:
            raise InputError(
                Kind.NESTED_ARCHIVE,
                f"{member.name!r} is an archive or a compressed file inside an archive",
            )
        if role != "image":
            self.skipped[role] += 1
            return False
        self._seen[member.name] += 1
        if self._seen[member.name] > 2:
            self.skipped["duplicate"] += 1
            return False
        if self._seen[member.name] > 1:
            raise InputError(
                Kind.DUPLICATE_MEMBER,
                f"{member.name!r} is there more than once; the first of them is read",
            )
        if entry.refused:
            raise entry.refused
        self._limits.check_size(member.name, member.size)
        self._limits.check_ratio(member.name, member.size, member.stored)
        return True


def make_listing(
    source: Source,
    entries: Iterable[Entry],
    limits: Limits,
    names: ImageNames,
    broken: InputError | None = None,
) -> Listing:
    """Sort entries into images, problems and others; `broken` is a problem of the source itself."""
    sieve = Sieve(source, limits, names)
    members: list[Member] = []
    problems: list[Problem] = []
    for entry in sorted(entries, key=_place):
        try:
            if sieve.is_image(entry):
                members.append(entry.member)
        except InputError as error:
            problems.append(image_problem(source, entry.member.name, "plan", error))
    archive_problems = (archive_problem(source, broken),) if broken else ()
    return Listing(source, tuple(members), tuple(problems), archive_problems, dict(sieve.skipped))


def _place(entry: Entry) -> tuple[int, str]:
    return entry.member.offset, entry.member.name


def image_problem(source: Source, member: str, stage: str, error: InputError) -> Problem:
    """Return the problem of one image, named by its source and member."""
    return Problem(
        source.image_id(member), source.uri, stage, error.kind, error.message, member=member
    )


def archive_problem(source: Source, error: InputError, stage: str = "plan") -> Problem:
    """Return the problem of a source itself."""
    return Problem(source.id, source.uri, stage, error.kind, error.message)
