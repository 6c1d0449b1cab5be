"""Choose films from the listing of a source, and read them block by block."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, JobStoppedError, Problem
from beamscope.transforms.xrays.archives.broken import BrokenArchiveError
from beamscope.transforms.xrays.archives.members import (
    Listing,
    Member,
    Sieve,
    archive_problem,
    film_problem,
)
from beamscope.transforms.xrays.archives.read_source import SourceReader, stream_members
from beamscope.transforms.xrays.catalogs.catalog import Catalog, CatalogRow, wants_view
from beamscope.transforms.xrays.reading.film_block import (
    BlockBuilder,
    Defect,
    FilmBlock,
    FilmSettings,
)
from beamscope.transforms.xrays.sources import Source, film_path


def select_films(listing: Listing, catalog: Catalog, views: frozenset[str]) -> Listing:
    """Leave out films of other views by the catalogue, and films that are there twice.

    A film without a row stays, as its view may be in the file. Of two members that are the same
    film of the catalogue the second is a problem, ``duplicate_image``.
    """
    source = listing.source
    members: list[Member] = []
    problems = list(listing.problems)
    skipped = collections.Counter(listing.skipped)
    once = _Once()
    for member in listing.members:
        row = catalog.find(film_path(source.uri, member.name))
        if row and row.view_position and not wants_view(row.view_position, views):
            skipped["other_view"] += 1
            continue
        try:
            once.check(row, member.name)
        except InputError as error:
            problems.append(film_problem(source, member.name, "plan", error))
            continue
        members.append(member)
    return dataclasses.replace(
        listing, members=tuple(members), problems=tuple(problems), skipped=dict(skipped)
    )


class _Once:
    """A check that each film of the catalogue comes from one member of a source."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}

    def check(self, row: CatalogRow | None, name: str) -> None:
        """Raise ``duplicate_image`` where another member is that film already."""
        if row is None:
            return
        holder = self._holders.setdefault(row.image_id, name)
        if holder != name:
            raise InputError(
                Kind.DUPLICATE_IMAGE, f"{row.image_id!r} in the catalogue is {holder!r} already"
            )


def read_films(
    source: Source,
    members: Iterable[Member],
    settings: FilmSettings,
    catalog: Catalog | None = None,
    defect: Defect | None = None,
) -> FilmBlock:
    """Read, decode and preprocess some members of a source, in their order.

    One that cannot be read ends as a problem; nothing is put in its place.

    Args:
      source: of the members.
      members: to read.
      settings: how they are read.
      catalog: what is known of them.
      defect: makes of an error that nobody expected the problem of one film; by default it raises.
    """
    members = tuple(members)
    builder = BlockBuilder(source, settings, len(members), defect)
    with (
        contextlib.closing(SourceReader(source, settings.decode.limits)) as reader,
        ThreadPoolExecutor(settings.threads) as pool,
    ):
        for member in members:
            data = _outcome(functools.partial(reader.read_member, member), defect)
            builder.add(pool, member.name, data, catalog)
        return builder.finish()


def lost_films(
    source: Source,
    members: Iterable[Member],
    settings: FilmSettings,
    catalog: Catalog | None,
    error: InputError,
) -> FilmBlock:
    """Return members of a source of which none is read, with the reason."""
    builder = BlockBuilder(source, settings, 0)
    for member in members:
        builder.refuse(member.name, error, catalog)
    return builder.finish()


class FilmStream:
    """A tar.gz that is read from end to end, block by block.

    Attributes:
      archive_problems: what is wrong with the archive itself; complete once it has been read.
      count: how many films it has, finished ones included; likewise.
    """

    def __init__(
        self,
        source: Source,
        block_size: int,
        settings: FilmSettings,
        catalog: Catalog | None = None,
        done: Container[int] = (),
        begin: Callable[[int], InputError | None] | None = None,
        defect: Defect | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
          source: a tar.gz.
          block_size: films of a block, those that cannot be read counted in.
          settings: how they are read.
          catalog: what is known of them.
          done: indices of the blocks that need not be decoded again; they are not yielded.
          begin: called with the index of each block before anything of it is read; where it returns
            an error, the films of the block are not decoded, and have that problem. An archive may
            end before the first film of a block that was begun.
          defect: makes of an error that nobody expected the problem of one film, or of the archive;
            by default it raises.
        """
        self.archive_problems: tuple[Problem, ...] = ()
        self.count = 0
        self._source = source
        self._block_size = block_size
        self._settings = settings
        self._catalog = catalog
        self._done = done
        self._begin = begin
        self._defect = defect
        self._sieve, self._once = self._new_sieve(), _Once()

    @property
    def skipped(self) -> dict[str, int]:
        """Return how many members were no films, by role; complete once the archive was read."""
        return dict(self._sieve.skipped)

    def __iter__(self) -> Iterator[tuple[int, FilmBlock]]:
        """Yield each block with its index, as soon as its last film is read."""
        self._sieve, self._once, self.archive_problems = self._new_sieve(), _Once(), ()
        builder = self._builder()
        self.count = 0
        with ThreadPoolExecutor(self._settings.threads) as pool:
            try:
                refused = self._begin_block(0)
                for name, read in self._films():
                    index = self.count // self._block_size
                    if index not in self._done:
                        if refused is not None:
                            builder.refuse(name, refused, self._catalog)
                        else:
                            data = _outcome(read, self._defect)
                            builder.add(pool, name, data, self._catalog)
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
        return Sieve(self._source, self._settings.decode.limits)

    def _builder(self) -> BlockBuilder:
        return BlockBuilder(self._source, self._settings, self._block_size, self._defect)

    def _films(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        for entry, read in stream_members(self._source, self._settings.decode.limits):
            try:
                if not self._sieve.is_film(entry):
                    continue
                self._check_once(entry.member.name)
            except InputError as error:
                read = functools.partial(_refuse, error)
            yield entry.member.name, read

    def _check_once(self, name: str) -> None:
        row = self._catalog.find(film_path(self._source.uri, name)) if self._catalog else None
        if row and row.view_position and not wants_view(row.view_position, self._settings.views):
            return
        self._once.check(row, name)


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
