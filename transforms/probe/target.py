"""What is to be predicted: classes, several labels, a number, or the time to an event."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Task = Literal["classification", "multilabel", "regression", "survival"]
TASKS: tuple[Task, ...] = get_args(Task)
# A number is cut into this many ranges to spread its values evenly over folds.
_RANGES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """The labels of units.

    Attributes:
      task: kind of prediction.
      values: float64 ``[units, columns]``. Classification: one column, the index of the class.
        Multi-label: a column for each label, 1 present, 0 absent, NaN unknown. Regression: one
        column. Survival: time, and 1 for an event or 0 for a censored time.
      classes: names of the classes or of the labels; empty for the other tasks.
    """

    task: Task
    values: npt.NDArray[np.float64]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: npt.NDArray[np.int64]) -> Target:
        """Return the labels of some units."""
        return dataclasses.replace(self, values=self.values[index])

    def strata(self) -> npt.NDArray[np.int64]:
        """Return a number for each unit; units of one number are spread evenly over folds.

        These are the classes; for several labels the rarest label that a unit has; ranges of a
        number; for survival whether there was an event.
        """
        if self.task == "classification":
            return self.values[:, 0].astype(np.int64)
        if self.task == "survival":
            return self.values[:, 1].astype(np.int64)
        if self.task == "regression":
            edges = np.quantile(self.values[:, 0], np.arange(1, _RANGES) / _RANGES)
            return np.searchsorted(edges, self.values[:, 0], side="right").astype(np.int64)
        present = self.values == 1
        often = np.where(present, present.sum(0), np.inf)
        return np.where(present.any(1), often.argmin(1) + 1, 0).astype(np.int64)

    def one_hot(self) -> npt.NDArray[np.float64]:
        """Return ``[units, classes]`` of 1, 0 and, of several labels, NaN where unknown."""
        if self.task == "classification":
            return np.eye(len(self.classes))[self.values[:, 0].astype(np.int64)]
        return self.values
