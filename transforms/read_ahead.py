"""Reading one block ahead of who uses them, so that a model does not wait for its reader."""

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
    """Reads each block with a function, the next one while the last is being used.

    At most two blocks are in memory. A bundle's last block comes from `finish_bundle`; on a runner
    that makes bundles of one element nothing is read ahead, and nothing is wrong.
    """

    def __init__(self, read: Callable[[Any], ImageBlock]) -> None:
        self._read = read

    def setup(self) -> None:  # noqa: D102
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-block")

    def start_bundle(self) -> None:  # noqa: D102
        self._ahead: collections.deque[Future[ImageBlock]] = collections.deque()

    def process(self, block: Any) -> Iterator[ImageBlock]:
        """Has a block read, and yields the one before it."""
        self._ahead.append(self._reader.submit(self._read, block))
        if len(self._ahead) > 1:
            yield _waited_for(self._ahead.popleft())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields what is still ahead."""
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
    """The same block, its rows and problems counted."""
    count("rows_read", len(images.pixels))
    count("rows_unreadable", len(images.problems))
    return images
