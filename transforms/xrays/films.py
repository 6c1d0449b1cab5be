"""A block of films: members read, decoded and preprocessed, with the rows that go with them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.problems import InputError, Problem
from transforms.xrays.archives import SourceReader, stream_members
from transforms.xrays.catalogs import Catalog, CatalogRow, wants_view
from transforms.xrays.decode import decode_film
from transforms.xrays.film import DecodeSettings, Film
from transforms.xrays.members import Listing, Member, Sieve, archive_problem, film_problem
from transforms.xrays.preprocess import Preprocess
from transforms.xrays.sources import Source, join

# The columns of a film's row; those of the catalogue are null, or empty, where it says nothing.
FILM_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("photometric", pa.string()),
        pa.field("modality", pa.string()),
        pa.field("view_position", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("study_id", pa.string()),
        pa.field("labels", pa.map_(pa.string(), pa.float32())),
        pa.field("catalog", pa.map_(pa.string(), pa.string())),
        pa.field("dicom_tags", pa.map_(pa.string(), pa.string())),
    ]
)

_Decoded = tuple[npt.NDArray[np.uint8], dict[str, Any], bool]


@dataclasses.dataclass(frozen=True)
class FilmSettings:
    """How films are read.

    Attributes:
      preprocess: what the model is given.
      decode: how a film is decoded, and its limits.
      views: the view positions to keep; empty keeps every film.
      threads: how many films are decoded at a time.
    """

    preprocess: Preprocess
    decode: DecodeSettings = DecodeSettings()
    views: frozenset[str] = frozenset()
    threads: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class FilmBlock:
    """What became of a run of members: ``rows + problems = planned``, other views left out.

    Attributes:
      pixels: uint8 RGB ``[n, size, size, 3]``.
      rows: n rows of `FILM_SCHEMA`.
      problems: one for each film that could not be read.
      other_views: films left out because of their view.
      matched: films among the rows that the catalogue has a row for.
    """

    pixels: npt.NDArray[np.uint8]
    rows: pa.RecordBatch
    problems: tuple[Problem, ...]
    other_views: int
    matched: int

    @property
    def planned(self) -> int:
        """Films that were to be embedded."""
        return len(self.pixels) + len(self.problems)


def select_films(listing: Listing, catalog: Catalog, views: frozenset[str]) -> Listing:
    """Leave out what the catalogue says is another view, and what is one film twice.

    A film without a row stays, as its view may be in the file. Of two members that are the same
    film of the catalogue the second is a problem, ``duplicate_image``.
    """
    source = listing.source
    members: list[Member] = []
    problems = list(listing.problems)
    skipped = collections.Counter(listing.skipped)
    holders: dict[str, str] = {}
    for member in listing.members:
        row = catalog.find(join(source.uri, member.name))
        if row and row.view_position and not wants_view(row.view_position, views):
            skipped["other_view"] += 1
            continue
        first = holders.setdefault(row.image_id, member.name) if row else member.name
        if first != member.name and row:
            error = InputError(
                "duplicate_image", f"{member.name!r} is the film {row.image_id!r}, as {first!r} is"
            )
            problems.append(film_problem(source, member.name, "plan", error))
            continue
        members.append(member)
    return dataclasses.replace(
        listing, members=tuple(members), problems=tuple(problems), skipped=dict(skipped)
    )


def read_films(
    source: Source,
    members: Iterable[Member],
    settings: FilmSettings,
    catalog: Catalog | None = None,
) -> FilmBlock:
    """Read, decode and preprocess some members of a source, in their order.

    One that cannot be read ends as a problem; nothing is put in its place.
    """
    members = tuple(members)
    builder = _Builder(source, settings, len(members))
    with SourceReader(source, settings.decode.limits) as reader:

        def read(member: Member) -> bytes | InputError:
            try:
                return reader.read_member(member)
            except InputError as error:
                return error

        with ThreadPoolExecutor(settings.threads) as pool:
            for member in members:
                builder.add(pool, member.name, read(member), catalog)
    return builder.finish()


class FilmStream:
    """Reads a tar.gz from end to end, block by block.

    Attributes:
      archive_problems: what is wrong with the archive itself; complete once it has been read.
      skipped: how many members were no films, by role; likewise.
    """

    def __init__(
        self,
        source: Source,
        block_size: int,
        settings: FilmSettings,
        catalog: Catalog | None = None,
        done: Container[int] = (),
    ) -> None:
        """Read nothing yet.

        Args:
          source: a tar.gz.
          block_size: films of a block, those that cannot be read counted in.
          settings: how they are read.
          catalog: what is known of them.
          done: indices of the blocks that need not be decoded again; they are not yielded.
        """
        self.archive_problems: tuple[Problem, ...] = ()
        self._source = source
        self._block_size = block_size
        self._settings = settings
        self._catalog = catalog
        self._done = done
        self._sieve = Sieve(source, settings.decode.limits)

    @property
    def skipped(self) -> dict[str, int]:
        return dict(self._sieve.skipped)

    def __iter__(self) -> Iterator[tuple[int, FilmBlock]]:
        """Yield each block with its index, as soon as its last film is read."""
        builder = _Builder(self._source, self._settings, self._block_size)
        count = 0
        with ThreadPoolExecutor(self._settings.threads) as pool:
            try:
                for name, read in self._films():
                    index = count // self._block_size
                    count += 1
                    if index not in self._done:
                        builder.add(pool, name, read(), self._catalog)
                    if count % self._block_size == 0 and index not in self._done:
                        yield index, builder.finish()
                        builder = _Builder(self._source, self._settings, self._block_size)
            except InputError as error:
                self.archive_problems = (archive_problem(self._source, error, "read"),)
            if count % self._block_size and count // self._block_size not in self._done:
                yield count // self._block_size, builder.finish()

    def _films(self) -> Iterator[tuple[str, Callable[[], bytes | InputError]]]:
        for entry, read in stream_members(self._source, self._settings.decode.limits):
            name = entry.member.name
            try:
                if self._sieve.is_film(entry):
                    yield name, read
            except InputError as error:
                yield name, lambda error=error: error  # type: ignore[misc]


class _Builder:
    """Collects the films of a block in their order, with few of them decoded at a time."""

    def __init__(self, source: Source, settings: FilmSettings, room: int) -> None:
        size = settings.preprocess.size
        self._source = source
        self._settings = settings
        self._pixels = np.empty((room, size, size, 3), np.uint8)
        self._rows: list[dict[str, Any]] = []
        self._problems: list[Problem] = []
        self._other_views = 0
        self._matched = 0
        self._pending: collections.deque[tuple[str, CatalogRow | None, Future[Film | None]]]

    def add(
        self, pool: ThreadPoolExecutor, name: str, data: bytes | InputError, catalog: Catalog | None
    ) -> None: ...

    def finish(self) -> FilmBlock: ...
