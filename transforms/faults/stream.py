"""The blocks of a stream, which is read from end to end, as guarded steps one after the other."""

from __future__ import annotations

import contextlib

from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.faults.guard import Attempt, Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


class StreamSteps:
    """The step of a stream that is at work: one block is begun when the one before it has ended."""

    def __init__(self, guard: Guard, item_id: str) -> None:
        self._guard = guard
        self._item_id = item_id
        self._step = Step(item_id, 0)
        self._attempt: Attempt | None = None
        self._watch = contextlib.ExitStack()

    def begin(self, index: int) -> InputError | None:
        """End the block before, and begin one.

        Returns:
          why its rows are not to be worked on; None where they are.

        Raises:
          InputError: ``crashes`` where even to pass the block by has ended a process.
        """
        self.end()
        self._step = Step(self._item_id, index)
        attempt = self._guard.begin(self._step) or self._guard.begin_alone(self._step)
        self._attempt = attempt
        if attempt.hopeless and attempt.lost is not None:
            raise attempt.lost
        self._watch.enter_context(self._guard.watch(self._step, "read"))
        return attempt.lost

    def has_read(self, images: ImageBlock) -> None:
        """Note that the block has been read; it ends when it has been used as well."""
        self._watch.close()
        if any(problem.kind != Kind.DEFECT for problem in images.problems) or images.pixels.size:
            self._guard.worked("read")

    def defect(self, error: Exception) -> InputError:
        """Return the problem that an unexpected error becomes; see `Guard.defect`."""
        return self._guard.defect(self._step, "read", error)

    def end(self) -> None:
        """Record that the block that is at work has ended, if there is one."""
        self._watch.close()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.end()
