"""PTransform: read the patches of blocks, one block ahead of who uses them."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from transforms.blocks import ImageBlock
from transforms.metrics import count, timed
from transforms.problems import InputError
from transforms.slides.open_slides import open_slide
from transforms.slides.plan import SlideBlock
from transforms.slides.read_block import read_block, unreadable_block


@dataclasses.dataclass
class ReadSlideBlocks(beam.PTransform):
    """Reads blocks of patches: ``PCollection[SlideBlock]`` to ``PCollection[ImageBlock]``.

    The next block is read while the last one is being used, so two are in memory at a time.

    Attributes:
      threads: how many threads of a process read patches.
    """

    threads: int = 4

    def expand(self, blocks: beam.PCollection[SlideBlock]) -> beam.PCollection[ImageBlock]:
        """Reads each block."""
        return blocks | "ReadBlock" >> beam.ParDo(_ReadBlockFn(self.threads))


@functools.cache
def _patch_threads(threads: int) -> ThreadPoolExecutor:
    # One pool a process: a runner may keep a DoFn for each of many worker threads.
    return ThreadPoolExecutor(threads, thread_name_prefix="read-patch")


class _ReadBlockFn(beam.DoFn):
    def __init__(self, threads: int) -> None:
        self._threads = threads

    def setup(self) -> None:
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-block")

    def start_bundle(self) -> None:
        self._ahead: collections.deque[Future[ImageBlock]] = collections.deque()

    def process(self, block: SlideBlock) -> Iterator[ImageBlock]:
        self._ahead.append(self._reader.submit(self._read, block))
        if len(self._ahead) > 1:
            yield _counted(self._ahead.popleft())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._ahead:
            window = GlobalWindow()
            yield WindowedValue(_counted(self._ahead.popleft()), window.max_timestamp(), (window,))

    def teardown(self) -> None:
        self._reader.shutdown()

    def _read(self, block: SlideBlock) -> ImageBlock:
        try:
            reader = open_slide(block.uri)
        except InputError as error:
            return unreadable_block(block, error)
        return read_block(block, reader, _patch_threads(self._threads))


def _counted(reading: Future[ImageBlock]) -> ImageBlock:
    with timed("wait_for_reader"):
        images = reading.result()
    count("patches_read", len(images.pixels))
    count("patches_unreadable", len(images.problems))
    return images
