"""Errors that nobody expected: as problems of what they cost, and as a traceback in a log."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator

from beamscope.transforms.faults.steps import Step
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, JobStoppedError, StorageError, one_line

# Failures in a row, alike and of several items, that are no longer taken for bad items: few where
# nothing has worked yet, more where something has, which is how a disk that went away looks.
AT_THE_START = 8
IN_A_ROW = 30
_ITEMS = 3


def as_problem(error: Exception, log: str, *, quoted: bool = False) -> InputError:
    """Return what an unexpected error becomes: of kind ``defect``.

    Args:
      error: as it was raised.
      log: where its traceback is, for the message.
      quoted: whether the error's own words are repeated. They may quote what was read, such as a
        patient's name.
    """
    words = f": {one_line(error, 200)}" if quoted and str(error) else ""
    return InputError(Kind.DEFECT, f"{type(error).__name__}{words} ({log})")


def traceback_text(error: BaseException, *, quoted: bool = False) -> str:
    """Return the traceback of an error and of what caused it.

    Args:
      error: as it was raised.
      quoted: as for `as_problem`.
    """
    parts = []
    for one in _chain(error):
        words = f": {one_line(one, 1000)}" if quoted and str(one) else ""
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"{frames}{type(one).__module__}.{type(one).__qualname__}{words}\n")
    return "\nwhich led to\n\n".join(reversed(parts))


def storage_failure(error: BaseException) -> StorageError | None:
    """Return the failure of a disk or store that an error is, or was caused by; None for none."""
    return next((one for one in _chain(error) if isinstance(one, StorageError)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


class DefectEverywhereError(JobStoppedError):
    """The same unexpected error at everything: it is not the items that are wrong."""

    def __init__(self, message: str, steps: tuple[Step, ...]) -> None:
        super().__init__(message)
        self.steps = steps

    def __reduce__(self) -> tuple[type[DefectEverywhereError], tuple[str, tuple[Step, ...]]]:
        return type(self), (str(self), self.steps)


class Breaker:
    """Counts how often one kind of work fails alike; several threads may use it at once.

    Args:
      items: how many items the job has.
    """

    def __init__(self, items: int) -> None:
        self._enough_items = min(_ITEMS, items)
        self._lock = threading.Lock()
        self._worked = False
        self._alike: list[Step] = []
        self._place: tuple[object, ...] = ()

    def worked(self) -> None:
        """Count a success; a problem that is expected is one."""
        with self._lock:
            self._worked = True
            self._alike = []

    def failed(self, step: Step, error: Exception) -> None:
        """Count a failure.

        Raises:
          DefectEverywhereError: it is the last of many that are alike.
        """
        with self._lock:
            place = _place(error)
            if place != self._place:
                self._place, self._alike = place, []
            self._alike.append(step)
            items = len({one.item_id for one in self._alike})
            enough = IN_A_ROW if self._worked else AT_THE_START
            if len(self._alike) < enough or items < self._enough_items:
                return
            which = "last" if self._worked else "first"
            raise DefectEverywhereError(
                f"the {which} {len(self._alike)} blocks or items that were tried all failed with "
                f"{type(error).__name__} at {_where(error)}, so it is not they that are wrong",
                tuple(self._alike),
            ) from error


def _place(error: Exception) -> tuple[object, ...]:
    frames = traceback.extract_tb(error.__traceback__)
    return (type(error), frames[-1].filename, frames[-1].lineno) if frames else (type(error),)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}"
