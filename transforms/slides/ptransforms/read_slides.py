"""PTransform: read the patches of blocks, one block ahead of who uses them."""

from __future__ import annotations

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import cv2

from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.patches.encoding import Encoding, with_images
from beamscope.transforms.problems import InputError
from beamscope.transforms.read_ahead import ReadAheadFn
from beamscope.transforms.slides.fit import Fit
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.read_block import read_block, unreadable_block
from beamscope.transforms.slides.readers.base import SlideReader
from beamscope.transforms.slides.readers.pool import open_planned
from beamscope.transforms.storage.cache import FileCache


@dataclasses.dataclass
class ReadSlideBlocks(beam.PTransform):
    """Reads blocks of patches: ``PCollection[SlideBlock]`` to ``PCollection[ImageBlock]``.

    The next block is read while the last one is being used, so two are in memory at a time.

    Attributes:
      threads: how many threads of a process read patches.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
      guard: of the job.
      fit: how patches become the model's input; None where they have its size.
      encoding: how patches are encoded into the rows; None where pixels are wanted. A patch that is
        exactly a JPEG tile of its slide is passed on as it is stored, if JPEG is wanted.
    """

    threads: int = 4
    cache: FileCache | None = None
    guard: Guard | None = None
    fit: Fit | None = None
    encoding: Encoding | None = None

    def expand(self, blocks: beam.PCollection[SlideBlock]) -> beam.PCollection[ImageBlock]:
        """Reads each block."""
        read = functools.partial(
            _read, threads=self.threads, cache=self.cache, fit=self.fit, encoding=self.encoding
        )
        lost = functools.partial(_unreadable, fit=self.fit)
        return blocks | "ReadBlock" >> beam.ParDo(ReadAheadFn(read, lost, self.guard))


def _read(
    block: SlideBlock,
    threads: int,
    cache: FileCache | None,
    fit: Fit | None = None,
    encoding: Encoding | None = None,
) -> ImageBlock:
    try:
        slide = open_planned(block.reader, block.uri, cache=cache, version=block.version)
        images = read_block(block, slide, _patch_threads(threads))
        if encoding is not None and encoding.name == "jpeg":
            return with_tiles(images, block, slide, encoding)
        return _fitted(images, fit, threads)
    except InputError as error:
        # The slide is gone, or another one by now: what was read of the block is worth nothing.
        return _unreadable(block, error, fit)


def with_tiles(
    images: ImageBlock, block: SlideBlock, slide: SlideReader, encoding: Encoding
) -> ImageBlock:
    """Encode a block's patches; those that are exactly a JPEG tile are taken as they are stored."""
    x, y = (images.rows[name].to_numpy() for name in ("x_level0", "y_level0"))
    streams = slide.tile_streams(x, y, block.read, images.pixels)
    return dataclasses.replace(
        images, rows=with_images(images.rows, images.pixels, encoding, streams)
    )


def _unreadable(block: SlideBlock, error: InputError, fit: Fit | None) -> ImageBlock:
    return _fitted(unreadable_block(block, error), fit)


def _fitted(images: ImageBlock, fit: Fit | None, threads: int = 1) -> ImageBlock:
    if fit is None:
        return images
    return dataclasses.replace(images, pixels=fit.apply(images.pixels, _patch_threads(threads)))


@functools.cache
def _patch_threads(threads: int) -> ThreadPoolExecutor:
    # One pool a process: a runner may keep a DoFn for each of many worker threads. Patches are read
    # side by side in it, so that OpenCV's own threads would only get in the way.
    cv2.setNumThreads(1)
    return ThreadPoolExecutor(threads, thread_name_prefix="read-patch")
