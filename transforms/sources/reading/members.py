"""Choose images from the listing of a source, and read them block by block."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.problems import InputError, JobStoppedError, Problem
from beamscope.transforms.sources.archives.broken import BrokenArchiveError
from beamscope.transforms.sources.archives.members import (
    Listing,
    Member,
    Sieve,
    archive_problem,
    image_problem,
)
from beamscope.transforms.sources.archives.read_source import SourceReader, stream_members
from beamscope.transforms.sources.image_reading import ImageReading
from beamscope.transforms.sources.reading.member_block import BlockBuilder, Defect, MemberBlock
from beamscope.transforms.sources.sources import Source


def select_images(listing: Listing, reading: ImageReading) -> Listing:
    """Leave out unwanted images, such as films of other views, and images that are there twice.

    Of two members that are the same image the second is a problem, ``duplicate_image``.
    """
    source = listing.source
    members: list[Member] = []
    problems = list(listing.problems)
    skipped = collections.Counter(listing.skipped)
    holders: dict[str, str] = {}
    for member in listing.members:
        known = reading.find(source.uri, member.name)
        if reading.is_unwanted(known):
            skipped[reading.unwanted] += 1
            continue
        try:
            reading.check_once(holders, member.name, known)
        except InputError as error:
            problems.append(image_problem(source, member.name, "plan", error))
            continue
        members.append(member)
    return dataclasses.replace(
        listing, members=tuple(members), problems=tuple(problems), skipped=dict(skipped)
    )


def read_images(
    source: Source,
    members: Iterable[Member],
    reading: ImageReading,
    defect: Defect | None = None,
) -> MemberBlock:
    """Read, decode and preprocess some members of a source, in their order.

    One that cannot be read ends as a problem; nothing is put in its place.

    Args:
      source: of the members.
      members: to read.
      reading: how they are read.
      defect: makes of an error that nobody expected the problem of one image; by default it raises.
    """
    members = tuple(members)
    builder = BlockBuilder(source, reading, len(members), defect)
    with (
        contextlib.closing(SourceReader(source, reading.limits)) as reader,
        ThreadPoolExecutor(reading.threads) as pool,
    ):
        for member in members:
            data = _outcome(functools.partial(reader.read_member, member), defect)
            builder.add(pool, member.name, data)
        return builder.finish()


def lost_images(
    source: Source, members: Iterable[Member], reading: ImageReading, error: InputError
) -> MemberBlock:
    """Return members of a source of which none is read, with the reason."""
    builder = BlockBuilder(source, reading, 0)
    for member in members:
        builder.refuse(member.name, error)
    return builder.finish()


class ImageStream:
    """A tar.gz that is read from end to end, block by block.

    Attributes:
      archive_problems: what is wrong with the archive itself; complete once it has been read.
      count: how many images it has, finished ones included; likewise.
    """

    def __init__(
        self,
        source: Source,
        block_size: int,
        reading: ImageReading,
        done: Container[int] = (),
        begin: Callable[[int], InputError | None] | None = None,
        defect: Defect | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
          source: a tar.gz.
          block_size: images of a block, those that cannot be read counted in.
          reading: how they are read.
          done: indices of the blocks that need not be decoded again; they are not yielded.
          begin: called with the index of each block before anything of it is read; where it returns
            an error, the images of the block are not decoded, and have that problem. An archive may
            end before the first image of a block that was begun.
          defect: makes of an error that nobody expected the problem of one image, or of the
            archive; by default it raises.
        """
        self.archive_problems: tuple[Problem, ...] = ()
        self.count = 0
        self._source = source
        self._block_size = block_size
        self._reading = reading
        self._done = done
        self._begin = begin
        self._defect = defect
        self._sieve = self._new_sieve()
        self._holders: dict[str, str] = {}

    @property
    def skipped(self) -> dict[str, int]:
        """Return how many members were no images, by role; complete once the archive was read."""
        return dict(self._sieve.skipped)

    def __iter__(self) -> Iterator[tuple[int, MemberBlock]]:
        """Yield each block with its index, as soon as its last image is read."""
        self._sieve, self._holders, self.archive_problems = self._new_sieve(), {}, ()
        builder = self._builder()
        self.count = 0
        with ThreadPoolExecutor(self._reading.threads) as pool:
            try:
                refused = self._begin_block(0)
                for name, read in self._images():
                    index = self.count // self._block_size
                    if index not in self._done:
                        if refused is not None:
                            builder.refuse(name, refused)
                        else:
                            builder.add(pool, name, _outcome(read, self._defect))
                    self.count += 1
                    if self.count % self._block_size == 0:
                        if index not in self._done:
                            yield index, builder.finish()
                            builder = self._builder()
                        refused = self._begin_block(index + 1)
            except InputError as error:
                self.archive_problems = (archive_problem(self._source, error, "read"),)
            except JobStoppedError:
                raise
            except Exception as error:
                if self._defect is None:
                    raise
                problem = archive_problem(self._source, self._defect(error), "read")
                self.archive_problems = (problem,)
            index, rest = divmod(self.count, self._block_size)
            if rest and index not in self._done:
                yield index, builder.finish()

    def _begin_block(self, index: int) -> InputError | None:
        if self._begin is None or index in self._done:
            return None
        return self._begin(index)

    def _new_sieve(self) -> Sieve:
        return Sieve(self._source, self._reading.limits, self._reading.names)

    def _builder(self) -> BlockBuilder:
        return BlockBuilder(self._source, self._reading, self._block_size, self._defect)

    def _images(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        for entry, read in stream_members(self._source, self._reading.limits):
            try:
                if not self._sieve.is_image(entry):
                    continue
                self._check_once(entry.member.name)
            except InputError as error:
                read = functools.partial(_refuse, error)
            yield entry.member.name, read

    def _check_once(self, name: str) -> None:
        known = self._reading.find(self._source.uri, name)
        if not self._reading.is_unwanted(known):
            self._reading.check_once(self._holders, name, known)


def _refuse(error: InputError) -> bytes:
    raise error


def _outcome(read: Callable[[], bytes], defect: Defect | None) -> bytes | InputError:
    """Read a member, and return its bytes or its error; raise only what ends the archive."""
    try:
        return read()
    except BrokenArchiveError:
        raise
    except InputError as error:
        return error
    except Exception as error:
        if defect is None:
            raise
        return defect(error)
