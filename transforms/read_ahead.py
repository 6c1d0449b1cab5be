"""Read one block ahead, so that the model does not wait for the reader."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamscope.transforms.block_coders import register_block_coders
from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.metrics import count, timed

register_block_coders()


@beam.typehints.with_output_types(ImageBlock)
class ReadAheadFn(beam.DoFn):
    """Read blocks with a function; read the next block while the model uses the last.

    At most two blocks are in memory. `finish_bundle` yields a bundle's last block. On a runner
    whose bundles have one element, nothing is read ahead; the results are the same.
    """

    def __init__(self, read: Callable[[Any], ImageBlock]) -> None:
        self._read = read

    def setup(self) -> None:  # noqa: D102
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-block")

    def start_bundle(self) -> None:  # noqa: D102
        self._ahead: collections.deque[Future[ImageBlock]] = collections.deque()

    def process(self, block: Any) -> Iterator[ImageBlock]:
        """Start to read a block, and yield the one before it."""
        self._ahead.append(self._reader.submit(self._read, block))
        if len(self._ahead) > 1:
            yield _waited_for(self._ahead.popleft())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the blocks that were read ahead."""
        window = GlobalWindow()
        while self._ahead:
            images = _waited_for(self._ahead.popleft())
            yield WindowedValue(images, window.max_timestamp(), (window,))

    def teardown(self) -> None:  # noqa: D102
        self._reader.shutdown()


def _waited_for(reading: Future[ImageBlock]) -> ImageBlock:
    with timed("wait_for_reader"):
        images = reading.result()
    return counted(images)


def counted(images: ImageBlock) -> ImageBlock:
    """Count a block's rows and problems, and return the block."""
    count("rows_read", len(images.pixels))
    count("rows_unreadable", len(images.problems))
    return images
