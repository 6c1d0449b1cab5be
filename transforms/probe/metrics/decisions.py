"""Metrics of decisions, all from the confusion matrix: accuracy, balanced accuracy, F1, kappa."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Floats
from beamscope.transforms.probe.metrics.ranking import ratio

Decision = Callable[[Floats], Floats]


def confusion(truth: npt.NDArray[np.int64], decided: npt.NDArray[np.int64], classes: int,
              weights: Floats) -> Floats:  # fmt: skip
    """Return confusion matrices ``[B, truth, decided]`` of weights ``[B, n]``."""
    found = np.zeros((len(weights), classes, classes))
    for true in range(classes):
        for guess in range(classes):
            rows = np.flatnonzero((truth == true) & (decided == guess))
            found[:, true, guess] = weights[:, rows].sum(1)
    return found


def accuracy(matrix: Floats) -> Floats:
    """Return the share of right decisions, ``[B]``."""
    return ratio(np.trace(matrix, axis1=1, axis2=2), matrix.sum((1, 2)))


def balanced_accuracy(matrix: Floats) -> Floats:
    """Return the mean over classes of the share of the class that is found, ``[B]``.

    Classes that a resample lacks are left out.
    """
    found = ratio(np.diagonal(matrix, axis1=1, axis2=2), matrix.sum(2))
    return mean_of_known(found)


def f1(matrix: Floats) -> Floats:
    """Return F1, ``[B]``: of the second of two classes, or the mean over more classes."""
    right = np.diagonal(matrix, axis1=1, axis2=2)
    involved = matrix.sum(1) + matrix.sum(2)
    of_class = ratio(2 * right, involved)
    return of_class[:, 1] if matrix.shape[1] == 2 else mean_of_known(of_class)


def kappa(matrix: Floats) -> Floats:
    """Return Cohen's kappa (Cohen 1960), ``[B]``: agreement beyond that of chance."""
    total = matrix.sum((1, 2))
    observed = ratio(np.trace(matrix, axis1=1, axis2=2), total)
    chance = ratio((matrix.sum(1) * matrix.sum(2)).sum(1), total**2)
    return ratio(observed - chance, 1 - chance)


def mean_of_known(values: Floats) -> Floats:
    """Return the mean over the last axis without its NaNs; NaN if there is nothing else."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(-1), known.sum(-1).astype(np.float64))
