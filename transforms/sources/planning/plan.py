"""The plan of a source of images: its members, in blocks, and the problems known by then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.problems import Problem
from beamscope.transforms.sources.archives.members import Member
from beamscope.transforms.sources.archives.read_source import list_members
from beamscope.transforms.sources.image_reading import SourceSettings
from beamscope.transforms.sources.reading.members import select_images
from beamscope.transforms.sources.sources import Source


@dataclasses.dataclass(frozen=True)
class ImagesToRead:
    """Some images of a source, as a worker needs them to read them: a few KB.

    Attributes:
      key: identity of the block.
      source: without the names of loose images, since `members` has those.
      members: in reading order.
    """

    key: BlockKey
    source: Source
    members: tuple[Member, ...]


@dataclasses.dataclass(frozen=True)
class StreamToRead:
    """A tar.gz, which one worker reads from end to end.

    Attributes:
      source: the archive.
      done: indices of the blocks that are finished already.
    """

    source: Source
    done: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True)
class SourcePlan:
    """The images of one source that are to be embedded, and its problems.

    Attributes:
      source: the archive, directory or loose images.
      members: the images to read, in order; empty for a tar.gz, whose images are not listed.
      block_sizes: how many images each block has.
      problems: one for each image that is known to be unreadable before it is read.
      archive_problems: what is wrong with the source itself.
      skipped: how many members are not asked for, by reason.
      known: False for a tar.gz that has not been read to its end, so that nothing is known of it.
    """

    source: Source
    members: tuple[Member, ...] = ()
    block_sizes: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = ()
    archive_problems: tuple[Problem, ...] = ()
    skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    known: bool = True

    def blocks(self) -> Iterator[ImagesToRead]:
        """Yield the blocks of a source that has a listing, in their order."""
        lean = dataclasses.replace(self.source, names=())
        start = 0
        for index, size in enumerate(self.block_sizes):
            key = BlockKey(self.source.id, index)
            yield ImagesToRead(key, lean, self.members[start : start + size])
            start += size


def plan_source(source: Source, settings: SourceSettings) -> SourcePlan:
    """Plan a source from its listing; its problems are part of the plan.

    A tar.gz has no listing: nothing is known of it until it has been read.
    """
    if source.kind == "tgz":
        return SourcePlan(source, known=False)
    reading = settings.reading()
    listing = select_images(list_members(source, reading.limits, reading.names), reading)
    return SourcePlan(
        source,
        listing.members,
        block_sizes(len(listing.members), settings.block_size),
        listing.problems,
        listing.archive_problems,
        listing.skipped,
    )


def block_sizes(images: int, block_size: int) -> tuple[int, ...]:
    """Return how many images each block has; all but the last are full."""
    full, rest = divmod(images, block_size)
    return (block_size,) * full + ((rest,) if rest else ())
