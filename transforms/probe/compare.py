"""Two models on the same patients: the difference of a metric, and the labels that one saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from beamscope.transforms.probe.arrays import Floats
from beamscope.transforms.probe.bootstrap import Interval, interval
from beamscope.transforms.probe.curve import Point


@dataclasses.dataclass(frozen=True)
class Difference:
    """The metric of A less that of B on the same patients.

    Attributes:
      metric: its name.
      interval: the difference, from resamples of the same patients for both.
      a_higher: share of the resamples in which A has the higher value.
    """

    metric: str
    interval: Interval
    a_higher: float


def difference(metric: str, a: Floats, b: Floats) -> Difference:
    """Return the difference of two metrics ``[1 + B]`` from the same resamples."""
    gap = a - b
    known = gap[1:][~np.isnan(gap[1:])]
    higher = float((known > 0).mean() + (known == 0).mean() / 2) if len(known) else float("nan")
    return Difference(metric, interval(gap[0], gap[1:]), higher)


@dataclasses.dataclass(frozen=True)
class Saved:
    """How many labels fewer A needs for the score that B has with all labels.

    Attributes:
      factor: labels of B divided by labels of A; None if A never reaches the score. At the ends of
        the curve it is a bound: `at_least` if already the smallest fraction of A reaches it.
      low: lower end of the 95 % interval, 0 where A does not reach the score in those resamples.
      high: upper end.
      at_least: whether the factor is only a lower bound.
      high_at_least: whether the upper end is only a lower bound.
      reached: share of the resamples in which A reaches the score.
      score: B's score with all labels.
      by_chance: whether the interval of B's score holds that of a model that knows nothing.
    """

    factor: float | None
    low: float
    high: float
    at_least: bool
    high_at_least: bool
    reached: float
    score: float
    by_chance: bool


def labels_saved(a: Sequence[Point], b: Sequence[Point], chance: float | None = None) -> Saved:
    """Return the factor of labels that A saves against B's score with all of its labels.

    A's curve is made monotone (isotonic regression, weighted by the number of draws) and read
    between its points on a logarithmic scale of labels. The interval comes from doing so on each
    bootstrap resample, of the same patients for both.

    Args:
      a: the curve of A; its last point has all labels.
      b: the curve of B.
      chance: the score of a model that knows nothing; None if there is no such number.
    """
    labels = np.array([point.labels for point in a])
    draws = np.array([float(point.draws) for point in a])
    curves = np.stack([point.resampled for point in a])
    scores = b[-1].resampled
    factors = np.array([
        _factor(labels, draws, curves[:, place], scores[place], b[-1].labels)
        for place in range(curves.shape[1])
    ])  # fmt: skip
    most = b[-1].labels / labels[0]
    resamples = factors[1:][~np.isnan(factors[1:])]
    if len(resamples):
        # Ends are values that occurred: between "not reached" and a factor there is nothing.
        low, high = np.quantile(resamples, [0.025, 0.975], method="closest_observation")
    else:
        low = high = float("nan")
    own = float(factors[0])
    return Saved(
        None if np.isnan(own) or own == 0 else own,
        float(low),
        float(high),
        bool(own >= most),
        bool(high >= most),
        float((resamples > 0).mean()) if len(resamples) else float("nan"),
        float(scores[0]),
        chance is not None and bool(b[-1].interval.low <= chance),
    )


def _factor(labels: Floats, draws: Floats, curve: Floats, score: float, all_labels: float) -> float:
    """Return how many times fewer labels reach a score; 0 if none do, NaN if it is not known."""
    from sklearn.isotonic import isotonic_regression

    if np.isnan(score) or np.isnan(curve).any():
        return float("nan")
    rising = isotonic_regression(curve, sample_weight=draws)
    if rising[-1] < score:
        return 0.0
    place = int(np.argmax(rising >= score))
    if place == 0:
        return float(all_labels / labels[0])
    before, after = rising[place - 1], rising[place]
    share = (score - before) / (after - before)
    needed = np.exp(np.log(labels[place - 1]) * (1 - share) + np.log(labels[place]) * share)
    return float(all_labels / needed)
