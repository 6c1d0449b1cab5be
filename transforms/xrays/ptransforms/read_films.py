"""PTransform: read the films of blocks and streams, one block ahead of who uses them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import apache_beam as beam

from beamscope.transforms.blocks import BlockKey, ImageBlock
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.read_ahead import ReadAheadFn, counted
from beamscope.transforms.xrays.planning.plan import (
    FilmsToRead,
    SourcePlan,
    StreamToRead,
    block_sizes,
)
from beamscope.transforms.xrays.planning.plan_file import write_plan
from beamscope.transforms.xrays.reading.film_block import FilmBlock
from beamscope.transforms.xrays.reading.films import FilmStream, read_films
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass
class ReadFilmBlocks(beam.PTransform):
    """Reads films: ``PCollection[FilmsToRead | StreamToRead]`` to ``PCollection[ImageBlock]``.

    Attributes:
      settings: how films become images.
      layout: of the dataset; the plan of a stream is written there when it has been read.
    """

    settings: XraySettings
    layout: Layout

    def expand(
        self, blocks: beam.PCollection[FilmsToRead | StreamToRead]
    ) -> beam.PCollection[ImageBlock]:
        """Reads each block, and each stream from end to end."""
        return blocks | "ReadFilms" >> beam.ParDo(_ReadFilmsFn(self.settings, self.layout))


class _ReadFilmsFn(ReadAheadFn):
    def __init__(self, settings: XraySettings, layout: Layout) -> None:
        super().__init__(functools.partial(_read, settings=settings))
        self._settings = settings
        self._layout = layout

    def process(self, block: FilmsToRead | StreamToRead) -> Iterator[ImageBlock]:
        if isinstance(block, StreamToRead):
            yield from self._read_stream(block)
        else:
            yield from super().process(block)

    def _read_stream(self, stream: StreamToRead) -> Iterator[ImageBlock]:
        settings = self._settings
        films = FilmStream(
            stream.source,
            settings.block_size,
            settings.films,
            settings.load_catalog(),
            stream.done,
        )
        for index, block in films:
            yield counted(_image_block(BlockKey(stream.source.id, index), stream.source.uri, block))
        plan = SourcePlan(
            stream.source,
            block_sizes=block_sizes(films.count, settings.block_size),
            archive_problems=films.archive_problems,
            skipped=films.skipped,
        )
        write_plan(self._layout, plan)


def _read(block: FilmsToRead, settings: XraySettings) -> ImageBlock:
    films = read_films(block.source, block.members, settings.films, settings.load_catalog())
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
