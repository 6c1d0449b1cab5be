"""Calibration: whether 80 of 100 predictions of probability 0.8 come true."""

from __future__ import annotations

import dataclasses

import numpy as np

from beamscope.transforms.probe.arrays import Floats
from beamscope.transforms.probe.metrics.ranking import ratio

BINS = 10


def brier(one_hot: Floats, probabilities: Floats, weights: Floats) -> Floats:
    """Return the Brier score ``[B]``: the mean squared error of probabilities, summed over classes.

    Of two classes it is the error of one of them (Brier 1950 adds both).

    Args:
      one_hot: ``[n, classes]``.
      probabilities: ``[n, classes]``.
      weights: ``[B, n]``.
    """
    error = ((one_hot - probabilities) ** 2).sum(1) / (2 if one_hot.shape[1] == 2 else 1)
    return ratio(weights @ error, weights.sum(1))


def expected_error(true: Floats, probability: Floats, weights: Floats) -> Floats:
    """Return the expected calibration error ``[B]`` over ten equal bins (Naeini et al. 2015).

    It is the mean distance of the probability in a bin from the share that came true there. With
    few predictions in a bin it is above 0 for a perfect model too.

    Args:
      true: ``[n]``, 1 where the prediction came true.
      probability: ``[n]``.
      weights: ``[B, n]``.
    """
    members = np.eye(BINS)[_bin_of(probability)]
    distance = np.abs(weights @ (members * (true - probability)[:, None])).sum(1)
    return ratio(distance, weights.sum(1))


@dataclasses.dataclass(frozen=True)
class Bin:
    """A point of a calibration plot: mean probability, share that came true, predictions."""

    probability: float
    share: float
    predictions: int


def bins(true: Floats, probability: Floats) -> list[Bin]:
    """Return the bins that hold predictions, in order."""
    of_bin = _bin_of(probability)
    return [
        Bin(float(probability[rows].mean()), float(true[rows].mean()), len(rows))
        for rows in (np.flatnonzero(of_bin == place) for place in range(BINS))
        if len(rows)
    ]


def _bin_of(probability: Floats) -> np.ndarray:
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)
