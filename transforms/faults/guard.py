"""The guard: around each step of a job, so that a step that goes wrong costs itself alone."""

from __future__ import annotations

import atexit
import collections
import contextlib
import dataclasses
import functools
import logging
import threading
from collections.abc import Iterator

from beamscope.transforms.faults import alone, run, tries
from beamscope.transforms.faults.defects import (
    Breaker,
    DefectEverywhereError,
    as_problem,
    storage_failure,
    traceback_text,
)
from beamscope.transforms.faults.ending import ProcessEndsError, process_ends
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.faults.watchdog import watched
from beamscope.transforms.output.layout import Layout, part_name
from beamscope.transforms.output.leases.lease_file import EVERYTHING, LeaseKey
from beamscope.transforms.output.leases.work import begin_work, end_work
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, as_stopped, one_line
from beamscope.transforms.storage import files

_log = logging.getLogger(__name__)

_DOING = {"plan": "planning", "read": "reading", "embed": "embedding"}
# Of what fails in one process, as warnings.
_LINES_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Guard:
    """Keeps steps apart: travels to the workers of a job, and is the same for all of them.

    Attributes:
      layout: of the dataset.
      run: the run that the processes belong to; see `tries`.
      item_timeout: seconds that planning an item, reading a block or embedding it may take; 0 for
        no limit.
      items: how many items the job has.
      lease: of the job on the output, which steps at work keep alive; None where it has none.
    """

    layout: Layout
    run: str
    item_timeout: float = 0.0
    items: int = 1
    lease: LeaseKey | None = None

    @property
    def _slot(self) -> str:
        return EVERYTHING if self.lease is None else self.lease.slot

    def begin(self, step: Step) -> Attempt | None:
        """Record that a step is begun.

        Returns:
          an attempt, which has to be ended; None for a step that was begun before and has not
          ended, so that it may be what ended its process: `begin_alone` when nothing else is at
          work.
        """
        hold = alone.among_others(self.layout, self._slot)
        try:
            begun = tries.record_first(self.layout, step, self.run)
        except BaseException:
            hold.release()
            raise
        if not begun:
            hold.release()
            return None
        return self._attempt(step, hold, count=1)

    def begin_alone(self, step: Step) -> Attempt:
        """Wait until nothing else is at work here, and begin a step that was begun before.

        The caller must not have begun anything else that has not ended. The attempt of a step that
        has ended its process too often says so (`Attempt.lost`): it must not be worked on again.
        """
        hold = alone.alone(self.layout, self._slot)
        try:
            earlier = tries.earlier_tries(self.layout, step)
            tries.record_alone(self.layout, step, self.run)
        except BaseException:
            hold.release()
            raise
        lost = _crashes(earlier) if tries.is_lost(earlier, self.run) else None
        hopeless = tries.is_lost(earlier[:-1], self.run)
        return self._attempt(step, hold, len(earlier) + 1, lost, hopeless=hopeless)

    def _attempt(
        self,
        step: Step,
        hold: alone.Hold,
        count: int,
        lost: InputError | None = None,
        *,
        hopeless: bool = False,
    ) -> Attempt:
        attempt = Attempt(self, step, hold, count, lost, hopeless=hopeless)
        begin_work(self.lease)
        _OPEN.add(attempt)
        run.tell(run.BEGUN)
        return attempt

    @contextlib.contextmanager
    def watch(self, step: Step, stage: str) -> Iterator[None]:
        """End the process if the body takes longer than `item_timeout`."""
        doing = f"{_DOING[stage]} {step}"

        def late(stacks: str) -> None:
            _log.error("%s takes longer than %g s: this process ends", doing, self.item_timeout)
            # It is known which one it was: the others are tried again without further ado.
            _OPEN.end_all(but=step)
            self._write_log(step, f"{doing} took longer than {self.item_timeout:g} s\n\n{stacks}")

        with watched(doing, self.item_timeout, late):
            yield

    def defect(
        self, step: Step, stage: str, error: Exception, *, quoted: bool = False
    ) -> InputError:
        """Return the problem that an unexpected error becomes; its traceback goes to the log.

        Args:
          step: that failed.
          stage: of it: ``plan``, ``read`` or ``embed``.
          error: as it was raised.
          quoted: whether the error's own words can be repeated, and quote nobody's data.

        Raises:
          JobStoppedError: a disk or a store fails, so that the item is not to blame.
          DefectEverywhereError: everything fails like that; what was lost to it is to be forgotten.
          ProcessEndsError: this process is ending, so the error says nothing about the step.
        """
        if process_ends():
            raise ProcessEndsError(f"{_DOING[stage]} {step}: this process is ending") from error
        if (failure := storage_failure(error)) is not None:
            raise as_stopped(failure) from error
        text = traceback_text(error, quoted=quoted)
        log = self._write_log(step, f"{_DOING[stage]} {step}\n\n{text}")
        problem = as_problem(error, log, quoted=quoted)
        _LINES.say(f"{_DOING[stage]} {step} failed: {problem.message}", text)
        self._breaker(stage).failed(step, error)
        return problem

    def worked(self, stage: str) -> None:
        """Count that a stage of a step has worked, or met only what is expected."""
        self._breaker(stage).worked()

    def _breaker(self, stage: str) -> Breaker:
        # Each of several models has its own: one that fails everywhere is not outvoted by others.
        return _breaker(self.run, stage, self.items, self.layout.fingerprint)

    def forget(self, error: DefectEverywhereError) -> None:
        """Delete the parts of blocks that were lost to what is wrong everywhere.

        So they are done again when it has been put right.
        """
        indices = collections.defaultdict(set)
        for step in error.steps:
            if step.index is not None:
                indices[step.item_id].add(step.index)
        for item_id, lost in indices.items():
            found = [
                file
                for one in self.layout.each()
                for file in files.list_files(one.item_parts(item_id), recursive=False)
            ]
            names = ((file.path, part_name(file.path)) for file in found)
            files.delete([path for path, name in names if name is not None and name[0] in lost])

    def _write_log(self, step: Step, text: str) -> str:
        path = self.layout.fault_log(step.item_id, step.index)
        try:
            files.write_bytes(path, text.encode())
        except OSError as error:
            _log.warning("%s: cannot be written: %s", path, one_line(error))
        return path.removeprefix(files.join(self.layout.root, ""))


class Attempt:
    """A step that was begun and has not ended.

    Attributes:
      step: which.
      lost: why it is not to be worked on again; None where it is.
      hopeless: whether even to go past it, which reading a stream takes, has ended a process.
    """

    def __init__(
        self,
        guard: Guard,
        step: Step,
        hold: alone.Hold,
        count: int,
        lost: InputError | None,
        *,
        hopeless: bool = False,
    ) -> None:
        self.step = step
        self.lost = lost
        self.hopeless = hopeless
        self.guard = guard
        self.count = count
        self._hold = hold

    def end(self) -> None:
        """Record that the step has ended, well or not; the process lives. Again is no error."""
        if _OPEN.remove(self):
            self.forget()
            if self.lost is None:
                run.tell(run.ENDED)

    def forget(self) -> None:
        """Delete the records of the step, and let others work."""
        try:
            tries.delete_tries(self.guard.layout, self.step, self.count)
        finally:
            end_work(self.guard.lease)
            self._hold.release()


class _OpenAttempts:
    """The attempts of this process; those that are left when it ends in order are ended then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: set[Attempt] = set()
        self._registered = False

    def add(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.add(attempt)
            if not self._registered:
                self._registered = True
                atexit.register(self.end_all)

    def remove(self, attempt: Attempt) -> bool:
        with self._lock:
            known = attempt in self._attempts
            self._attempts.discard(attempt)
        return known

    def end_all(self, but: Step | None = None) -> None:
        with self._lock:
            ended = [one for one in self._attempts if one.step != but]
            self._attempts.difference_update(ended)
        for attempt in ended:
            with contextlib.suppress(OSError):
                attempt.forget()


_OPEN = _OpenAttempts()


class _Lines:
    """The first failures as a line each for a person; the rest, and tracebacks, for the log."""

    def __init__(self) -> None:
        self._left = _LINES_SHOWN

    def say(self, line: str, details: str) -> None:
        _log.info("%s\n%s", line, details)
        if self._left > 0:
            _log.warning("%s%s", line, "; further ones are not shown here" * (self._left == 1))
        self._left -= 1


_LINES = _Lines()


def _crashes(earlier: list[tries.Try]) -> InputError:
    return InputError(
        Kind.CRASHES,
        f"{len(earlier)} processes that were at work on it ended in the middle, killed or out of "
        "time; it is not tried again",
    )


@functools.cache
def _breaker(run_id: str, stage: str, items: int, embedding: str) -> Breaker:
    # One for a run and stage in each process, whatever DoFns there are.
    del run_id, stage, embedding
    return Breaker(items)
