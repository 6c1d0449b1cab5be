"""A block of images as it fills: pixels, rows and problems, a few being decoded at a time."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.memory import READING
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.sources.archives.members import image_problem
from beamscope.transforms.sources.image_reading import ImageReading, Pixels, ReadyImage
from beamscope.transforms.sources.sources import Source

# Makes of an error that nobody expected the problem of one image.
Defect = Callable[[Exception], InputError]


@dataclasses.dataclass(frozen=True, eq=False)
class MemberBlock:
    """The images of a run of members: ``rows + problems = planned``, unwanted ones left out.

    Attributes:
      pixels: uint8 RGB ``[n, size, size, 3]``.
      rows: n rows.
      problems: one for each image that could not be read.
      left_out: images that were not wanted, such as films of another view.
      others: the same images in the further ways in which models see them; see `ReadyImage`.
    """

    pixels: npt.NDArray[np.uint8]
    rows: pa.RecordBatch
    problems: tuple[Problem, ...]
    left_out: int
    others: tuple[MemberBlock, ...] = ()

    @property
    def planned(self) -> int:
        """Return how many images were to be embedded."""
        return len(self.pixels) + len(self.problems)


class _View:
    """What a block has of one way in which models see its images."""

    def __init__(self, room: int, size: int) -> None:
        # Filled in place: a list of images and its stack would take the memory twice.
        self.pixels = np.empty((room, size, size, 3), np.uint8)
        self.rows: list[dict[str, Any]] = []
        self.problems: list[Problem] = []

    def add(self, pixels: Pixels, row: dict[str, Any]) -> None:
        self.pixels[len(self.rows)] = pixels
        self.rows.append(row)


class BlockBuilder:
    """A block that is filled image by image, in order, while a few are being decoded."""

    def __init__(
        self, source: Source, reading: ImageReading, room: int, defect: Defect | None = None
    ) -> None:
        self._source = source
        self._reading = reading
        self._defect = defect
        self._views = [_View(room, size) for size in reading.sizes]
        self._left_out = 0
        self._pending: collections.deque[tuple[str, Any, Future[ReadyImage | None]]] = (
            collections.deque()
        )

    def add(self, pool: ThreadPoolExecutor, name: str, data: bytes | InputError) -> None:
        """Have an image decoded, or note why it cannot be."""
        if isinstance(data, InputError):
            self._note(image_problem(self._source, name, "read", data))
            return
        known = self._reading.find(self._source.uri, name)
        # What this waits for are films that are being decoded, and need nothing from this thread.
        READING.take(len(data))
        task = pool.submit(self._make_ready, data, known)
        self._pending.append((name, known, task))
        # Twice as many as are decoded at once keep the threads busy, and the memory flat.
        while len(self._pending) > 2 * self._reading.threads:
            self._take()

    def _make_ready(self, data: bytes, known: Any) -> ReadyImage | None:
        try:
            return self._reading.make_ready(data, known)
        finally:
            READING.give_back(len(data))

    def refuse(self, name: str, error: InputError) -> None:
        """Note why an image is not read at all."""
        self._refuse(name, self._reading.find(self._source.uri, name), error)

    def finish(self) -> MemberBlock:
        """Wait for what is still being decoded."""
        while self._pending:
            self._take()
        first, *others = (
            MemberBlock(
                view.pixels[: len(view.rows)],
                pa.RecordBatch.from_pylist(view.rows, schema=self._reading.rows),
                tuple(view.problems),
                self._left_out,
            )
            for view in self._views
        )
        return dataclasses.replace(first, others=tuple(others))

    def _take(self) -> None:
        name, known, task = self._pending.popleft()
        try:
            ready = task.result()
        except InputError as error:
            self._refuse(name, known, error)
            return
        except Exception as error:
            if self._defect is None:
                raise
            self._refuse(name, known, self._defect(error))
            return
        if ready is None:
            self._left_out += 1
            return
        place = {
            "image_id": self._reading.image_id(self._source, name, known),
            "source": self._source.uri,
            "member": name,
        }
        row = {**place, **ready.row}
        for view, pixels in zip(self._views, ready.views, strict=True):
            if isinstance(pixels, InputError):
                view.problems.append(self._problem(name, known, pixels))
            else:
                view.add(pixels, row)

    def _refuse(self, name: str, known: Any, error: InputError) -> None:
        self._note(self._problem(name, known, error))

    def _problem(self, name: str, known: Any, error: InputError) -> Problem:
        problem = image_problem(self._source, name, "read", error)
        image_id = self._reading.image_id(self._source, name, known)
        return dataclasses.replace(problem, item_id=image_id)

    def _note(self, problem: Problem) -> None:
        for view in self._views:
            view.problems.append(problem)
