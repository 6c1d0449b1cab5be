"""The plan of a source of films: its members, in blocks, and the problems known by then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.problems import Problem
from beamscope.transforms.xrays.archives.members import Member
from beamscope.transforms.xrays.archives.read_source import list_members
from beamscope.transforms.xrays.reading.films import select_films
from beamscope.transforms.xrays.settings import XraySettings
from beamscope.transforms.xrays.sources import Source


@dataclasses.dataclass(frozen=True)
class FilmsToRead:
    """Some films of a source, as a worker needs them to read them: a few KB.

    Attributes:
      key: identity of the block.
      source: without the names of loose films, since `members` has those.
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
    """The films of one source that are to be embedded, and its problems.

    Attributes:
      source: the archive, directory or loose films.
      members: the films to read, in order; empty for a tar.gz, whose films are not listed.
      block_sizes: how many films each block has.
      problems: one for each film that is known to be unreadable before it is read.
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

    def blocks(self) -> Iterator[FilmsToRead]:
        """Yield the blocks of a source that has a listing, in their order."""
        lean = dataclasses.replace(self.source, names=())
        start = 0
        for index, size in enumerate(self.block_sizes):
            key = BlockKey(self.source.id, index)
            yield FilmsToRead(key, lean, self.members[start : start + size])
            start += size


def plan_source(source: Source, settings: XraySettings) -> SourcePlan:
    """Plan a source from its listing; its problems are part of the plan.

    A tar.gz has no listing: nothing is known of it until it has been read.
    """
    if source.kind == "tgz":
        return SourcePlan(source, known=False)
    listing = list_members(source, settings.films.decode.limits)
    catalog = settings.load_catalog()
    if catalog is not None:
        listing = select_films(listing, catalog, settings.films.views)
    return SourcePlan(
        source,
        listing.members,
        block_sizes(len(listing.members), settings.block_size),
        listing.problems,
        listing.archive_problems,
        listing.skipped,
    )


def block_sizes(films: int, block_size: int) -> tuple[int, ...]:
    """Return how many films each block has; all but the last are full."""
    full, rest = divmod(films, block_size)
    return (block_size,) * full + ((rest,) if rest else ())
