"""PTransform: read the images of blocks and streams, one block ahead of who uses them."""

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
from beamscope.transforms.sources.image_reading import SourceSettings
from beamscope.transforms.sources.planning.plan import (
    ImagesToRead,
    SourcePlan,
    StreamToRead,
    block_sizes,
)
from beamscope.transforms.sources.planning.plan_file import write_plan
from beamscope.transforms.sources.reading.member_block import Defect, MemberBlock
from beamscope.transforms.sources.reading.members import ImageStream, lost_images, read_images


@dataclasses.dataclass
class ReadImageBlocks(beam.PTransform):
    """Reads images: ``PCollection[ImagesToRead | StreamToRead]`` to ``PCollection[ImageBlock]``.

    Attributes:
      settings: how images become images.
      layout: of the dataset; the plan of a stream is written there when it has been read.
      guard: of the job.
    """

    settings: SourceSettings
    layout: Layout
    guard: Guard | None = None

    def expand(
        self, blocks: beam.PCollection[ImagesToRead | StreamToRead]
    ) -> beam.PCollection[ImageBlock]:
        """Reads each block, and each stream from end to end."""
        read = _ReadImagesFn(self.settings, self.layout, self.guard)
        return blocks | "ReadImages" >> beam.ParDo(read)


class _ReadImagesFn(ReadAheadFn):
    def __init__(self, settings: SourceSettings, layout: Layout, guard: Guard | None) -> None:
        read = functools.partial(_read, settings=settings, guard=guard)
        super().__init__(read, functools.partial(_lose, settings=settings), guard)
        self._settings = settings
        self._layout = layout

    def process(self, block: ImagesToRead | StreamToRead) -> Iterator[ImageBlock]:
        if isinstance(block, StreamToRead):
            # A block of it that is read alone waits for whatever this process has begun.
            yield from self.drain()
            yield from self._read_stream(block)
        else:
            yield from super().process(block)

    def _read_stream(self, stream: StreamToRead) -> Iterator[ImageBlock]:
        settings, source = self._settings, stream.source
        steps = None if self._guard is None else StreamSteps(self._guard, source.id)
        found = ImageStream(
            source,
            settings.block_size,
            settings.reading(),
            stream.done,
            None if steps is None else steps.begin,
            None if steps is None else steps.defect,
        )
        try:
            for index, block in found:
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
            block_sizes=block_sizes(found.count, settings.block_size),
            archive_problems=found.archive_problems,
            skipped=found.skipped,
        )
        write_plan(self._layout, plan)


def _read(block: ImagesToRead, settings: SourceSettings, guard: Guard | None) -> ImageBlock:
    defect: Defect | None = None
    if guard is not None:
        defect = functools.partial(guard.defect, Step.of(block.key), "read")
    images = read_images(block.source, block.members, settings.reading(), defect)
    return _image_block(block.key, block.source.uri, images)


def _lose(block: ImagesToRead, error: InputError, settings: SourceSettings) -> ImageBlock:
    images = lost_images(block.source, block.members, settings.reading(), error)
    return _image_block(block.key, block.source.uri, images)


def _image_block(key: BlockKey, uri: str, images: MemberBlock) -> ImageBlock:
    return ImageBlock(
        key,
        images.pixels,
        images.rows,
        images.planned + images.left_out,
        images.problems,
        images.left_out,
        uri,
        tuple(_image_block(key, uri, other) for other in images.others),
    )
