"""Metrics of predicted numbers: R2, mean absolute error, and Pearson's correlation."""

from __future__ import annotations

import numpy as np

from beamscope.transforms.probe.arrays import Floats
from beamscope.transforms.probe.metrics.ranking import ratio


def r2(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return the coefficient of determination ``[B]``; 0 for a model that predicts the mean."""
    total = weights.sum(1)
    mean = ratio(weights @ truth, total)
    spread = (weights * (truth - mean[:, None]) ** 2).sum(1)
    return 1 - ratio(weights @ (truth - predicted) ** 2, spread)


def mean_absolute_error(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return the mean absolute error ``[B]``, in the unit of the label."""
    return ratio(weights @ np.abs(truth - predicted), weights.sum(1))


def pearson(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return Pearson's correlation ``[B]``."""
    total = weights.sum(1)
    a = truth - ratio(weights @ truth, total)[:, None]
    b = predicted - ratio(weights @ predicted, total)[:, None]
    together = (weights * a * b).sum(1)
    return ratio(together, np.sqrt((weights * a**2).sum(1) * (weights * b**2).sum(1)))
