"""PTransform: read the patches of blocks, one block ahead of who uses them."""

from __future__ import annotations

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import cv2

from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.problems import InputError
from beamscope.transforms.read_ahead import ReadAheadFn
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.read_block import read_block, unreadable_block
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
    """

    threads: int = 4
    cache: FileCache | None = None
    guard: Guard | None = None

    def expand(self, blocks: beam.PCollection[SlideBlock]) -> beam.PCollection[ImageBlock]:
        """Reads each block."""
        read = functools.partial(_read, threads=self.threads, cache=self.cache)
        return blocks | "ReadBlock" >> beam.ParDo(ReadAheadFn(read, unreadable_block, self.guard))


def _read(block: SlideBlock, threads: int, cache: FileCache | None) -> ImageBlock:
    try:
        slide = open_planned(block.reader, block.uri, cache=cache, version=block.version)
        return read_block(block, slide, _patch_threads(threads))
    except InputError as error:
        # The slide is gone, or another one by now: what was read of the block is worth nothing.
        return unreadable_block(block, error)


@functools.cache
def _patch_threads(threads: int) -> ThreadPoolExecutor:
    # One pool a process: a runner may keep a DoFn for each of many worker threads. Patches are read
    # side by side in it, so that OpenCV's own threads would only get in the way.
    cv2.setNumThreads(1)
    return ThreadPoolExecutor(threads, thread_name_prefix="read-patch")
