"""Read one block ahead, so that the model does not wait for the reader."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beamscope.transforms.block_coders import register_block_coders
from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.faults.defects import DefectEverywhereError
from beamscope.transforms.faults.guard import Attempt, Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.metrics import count, timed
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, JobStoppedError, StorageError

register_block_coders()


@beam.typehints.with_output_types(ImageBlock)
class ReadAheadFn(beam.DoFn):
    """Read blocks with a function; read the next block while the model uses the last.

    At most two blocks are in memory. `finish_bundle` yields a bundle's last block. On a runner
    whose bundles have one element, nothing is read ahead; the results are the same.

    With a guard, an unexpected error costs the block at which it was raised. A block that a process
    began and never ended may have ended that process. It is kept back until the end of the bundle,
    and is then read while nothing else is at work, so that it can take nothing else along.

    Args:
      read: reads a block, which has a `BlockKey` as its ``key``.
      lose: returns a block without rows, given the block and the reason; needed with a guard.
      guard: the job's guard.
    """

    def __init__(
        self,
        read: Callable[[Any], ImageBlock],
        lose: Callable[[Any, InputError], ImageBlock] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._read = read
        self._lose = lose
        self._guard = guard

    def setup(self) -> None:  # noqa: D102
        self._ahead: collections.deque[_Reading] = collections.deque()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-block")

    def start_bundle(self) -> None:  # noqa: D102
        # Of a bundle before that an error has ended.
        self._give_up()
        self._suspects: list[Any] = []

    def process(self, block: Any) -> Iterator[ImageBlock]:
        """Start to read a block, and yield the one before it."""
        attempt = None
        if self._guard is not None:
            attempt = self._guard.begin(Step.of(block.key))
            if attempt is None:
                self._suspects.append(block)
                return
        self._ahead.append(_Reading(attempt, self._reader.submit(self._read_guarded, block)))
        if len(self._ahead) > 1:
            yield from self._next()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the blocks that were read ahead, then those that are read alone."""
        yield from map(in_global_window, self.drain())
        for block in self._suspects:
            yield from map(in_global_window, self._read_alone(block))
        self._suspects = []

    def teardown(self) -> None:  # noqa: D102
        # A block that is being read when all else ends is not waited for: it may never be read.
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._give_up()

    def _give_up(self) -> None:
        while self._ahead:
            reading = self._ahead.popleft()
            reading.images.cancel()
            if reading.attempt is not None:
                # Where storage fails, the record stays: the block is then tried alone.
                with contextlib.suppress(StorageError):
                    reading.attempt.end()

    def drain(self) -> Iterator[ImageBlock]:
        """Yields what is still ahead."""
        while self._ahead:
            yield from self._next()

    def _next(self) -> Iterator[ImageBlock]:
        reading = self._ahead.popleft()
        try:
            with self._forgetting():
                images = _waited_for(reading.images)
            # Whoever uses the block is done with it when the generator goes on.
            yield images
        finally:
            if reading.attempt is not None:
                reading.attempt.end()

    def _read_alone(self, block: Any) -> Iterator[ImageBlock]:
        assert self._guard is not None
        assert self._lose is not None
        attempt = self._guard.begin_alone(Step.of(block.key))
        try:
            if attempt.lost is not None:
                yield counted(self._lose(block, attempt.lost))
            else:
                with self._forgetting():
                    images = counted(self._read_guarded(block))
                yield images
        finally:
            attempt.end()

    def _read_guarded(self, block: Any) -> ImageBlock:
        guard = self._guard
        if guard is None:
            return self._read(block)
        assert self._lose is not None
        step = Step.of(block.key)
        try:
            with guard.watch(step, "read"):
                images = self._read(block)
        except JobStoppedError:
            raise
        except InputError as error:
            images = self._lose(block, error)
        except Exception as error:  # noqa: BLE001
            return self._lose(block, guard.defect(step, "read", error))
        if any_worked(images):
            guard.worked("read")
        return images

    @contextlib.contextmanager
    def _forgetting(self) -> Iterator[None]:
        try:
            yield
        except DefectEverywhereError as error:
            if self._guard is not None:
                self._guard.forget(error)
            raise


@dataclasses.dataclass
class _Reading:
    attempt: Attempt | None
    images: Future[ImageBlock]


def any_worked(images: ImageBlock) -> bool:
    """Return whether any row of a block was read, or met only what is expected."""
    lost = sum(problem.kind == Kind.DEFECT for problem in images.problems)
    return lost < images.planned


def in_global_window(value: Any) -> WindowedValue:
    """Return a value as `finish_bundle` has to yield it."""
    window = GlobalWindow()
    return WindowedValue(value, window.max_timestamp(), (window,))


def _waited_for(reading: Future[ImageBlock]) -> ImageBlock:
    with timed("wait_for_reader"):
        images = reading.result()
    return counted(images)


def counted(images: ImageBlock) -> ImageBlock:
    """Count a block's rows and problems, and return the block."""
    count("rows_read", len(images.pixels))
    count("rows_unreadable", len(images.problems))
    return images
