"""PTransform: read the films of blocks and streams, one block ahead of who uses them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import apache_beam as beam

from beamscope.transforms.blocks import BlockKey, ImageBlock
from beamscope.transforms.faults.defects import DefectEverywhereError
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.faults.stream import StreamSteps
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problems import InputError
from beamscope.transforms.read_ahead import ReadAheadFn, counted
from beamscope.transforms.xrays.planning.plan import (
    FilmsToRead,
    SourcePlan,
    StreamToRead,
    block_sizes,
)
from beamscope.transforms.xrays.planning.plan_file import write_plan
from beamscope.transforms.xrays.reading.film_block import Defect, FilmBlock
from beamscope.transforms.xrays.reading.films import FilmStream, lost_films, read_films
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass
class ReadFilmBlocks(beam.PTransform):
    """Reads films: ``PCollection[FilmsToRead | StreamToRead]`` to ``PCollection[ImageBlock]``.

    Attributes:
      settings: how films become images.
      layout: of the dataset; the plan of a stream is written there when it has been read.
      guard: of the job.
    """

    settings: XraySettings
    layout: Layout
    guard: Guard | None = None

    def expand(
        self, blocks: beam.PCollection[FilmsToRead | StreamToRead]
    ) -> beam.PCollection[ImageBlock]:
        """Reads each block, and each stream from end to end."""
        read = _ReadFilmsFn(self.settings, self.layout, self.guard)
        return blocks | "ReadFilms" >> beam.ParDo(read)


class _ReadFilmsFn(ReadAheadFn):
    def __init__(self, settings: XraySettings, layout: Layout, guard: Guard | None) -> None:
        read = functools.partial(_read, settings=settings, guard=guard)
        super().__init__(read, functools.partial(_lose, settings=settings), guard)
        self._settings = settings
        self._layout = layout

    def process(self, block: FilmsToRead | StreamToRead) -> Iterator[ImageBlock]:
        if isinstance(block, StreamToRead):
            # A block of it that is read alone waits for whatever this process has begun.
            yield from self.drain()
            yield from self._read_stream(block)
        else:
            yield from super().process(block)

    def _read_stream(self, stream: StreamToRead) -> Iterator[ImageBlock]:
        settings, source = self._settings, stream.source
        steps = None if self._guard is None else StreamSteps(self._guard, source.id)
        films = FilmStream(
            source,
            settings.block_size,
            settings.films,
            settings.load_catalog(),
            stream.done,
            None if steps is None else steps.begin,
            None if steps is None else steps.defect,
        )
        try:
            for index, block in films:
                images = _image_block(BlockKey(source.id, index), source.uri, block)
                if steps is not None:
                    steps.has_read(images)
                yield counted(images)
        except DefectEverywhereError as error:
            if self._guard is not None:
                self._guard.forget(error)
            raise
        finally:
            if steps is not None:
                steps.end()
        plan = SourcePlan(
            source,
            block_sizes=block_sizes(films.count, settings.block_size),
            archive_problems=films.archive_problems,
            skipped=films.skipped,
        )
        write_plan(self._layout, plan)


def _read(block: FilmsToRead, settings: XraySettings, guard: Guard | None) -> ImageBlock:
    defect: Defect | None = None
    if guard is not None:
        defect = functools.partial(guard.defect, Step.of(block.key), "read")
    films = read_films(block.source, block.members, settings.films, settings.load_catalog(), defect)
    return _image_block(block.key, block.source.uri, films)


def _lose(block: FilmsToRead, error: InputError, settings: XraySettings) -> ImageBlock:
    films = lost_films(block.source, block.members, settings.films, settings.load_catalog(), error)
    return _image_block(block.key, block.source.uri, films)


def _image_block(key: BlockKey, uri: str, films: FilmBlock) -> ImageBlock:
    return ImageBlock(
        key,
        films.pixels,
        films.rows,
        films.planned + films.other_views,
        films.problems,
        films.other_views,
        uri,
    )
