"""The data-efficiency curve: the metric of a model that was trained on a part of the labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.bootstrap import Interval, interval
from beamscope.transforms.probe.evaluation import Predictions, fit_fold, predict, resample
from beamscope.transforms.probe.learners.base import Fitted, Inputs, Learner
from beamscope.transforms.probe.metrics.decisions import mean_of_known
from beamscope.transforms.probe.metrics.table import primary
from beamscope.transforms.probe.splits.folds import Fold
from beamscope.transforms.probe.units import Units


@dataclasses.dataclass(frozen=True, eq=False)
class Draw:
    """Training units of every fold for one draw of a fraction of the labels."""

    fraction: float
    train: tuple[Ints, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """A point of a curve.

    Attributes:
      fraction: of the patients that may train, 0 to 1.
      labels: mean number of units that trained.
      patients: mean number of patients that trained.
      draws: number of draws; their metrics are averaged.
      interval: the metric and its interval over patients of the test units.
      spread: standard deviation over draws of the metric; NaN for one draw.
      resampled: the metric on all patients, then on the bootstrap's resamples, ``[1 + B]``.
    """

    fraction: float
    labels: float
    patients: float
    draws: int
    interval: Interval
    spread: float
    resampled: Floats


def draw_fractions(
    units: Units, folds: Sequence[Fold], fractions: Sequence[float], draws: int, seed: int
) -> list[Draw]:
    """Return draws of patients, of every class alike, at least one patient of each class.

    A draw of a small fraction is a part of the same draw of a larger one. All models are trained on
    the same draws. The whole of the labels is drawn once.

    Args:
      units: the units.
      folds: their folds.
      fractions: each above 0 and at most 1.
      draws: number of draws of each fraction.
      seed: of the draws.
    """
    strata = units.target.strata()
    found: list[Draw] = []
    orders = [
        [_shuffled_patients(strata, units.groups, fold.train, [seed, draw, place])
         for place, fold in enumerate(folds)]
        for draw in range(draws)
    ]  # fmt: skip
    for fraction in sorted(set(fractions)):
        for order in orders if fraction < 1 else orders[:1]:
            train = tuple(
                fold.train if fraction >= 1 else _part(units.groups, fold.train, patients, fraction)
                for fold, patients in zip(folds, order, strict=True)
            )
            found.append(Draw(fraction, train))
    return found


def _shuffled_patients(strata: Ints, groups: Ints, train: Ints, seed: list[int]) -> list[Ints]:
    """Return the patients of each stratum in random order; each patient is of one stratum."""
    random = np.random.default_rng(seed)
    of_patient: dict[int, int] = {}
    for patient in np.unique(groups[train]):
        own = strata[train][groups[train] == patient]
        of_patient[int(patient)] = int(np.bincount(own).argmax())
    by_stratum: dict[int, list[int]] = {}
    for patient, stratum in of_patient.items():
        by_stratum.setdefault(stratum, []).append(patient)
    return [random.permutation(by_stratum[stratum]) for stratum in sorted(by_stratum)]


def _part(groups: Ints, train: Ints, patients: list[Ints], fraction: float) -> Ints:
    taken = [some[: max(1, math.floor(fraction * len(some) + 0.5))] for some in patients]
    return train[np.isin(groups[train], np.concatenate(taken))]


@dataclasses.dataclass(frozen=True, eq=False)
class CurvePredictions:
    """Predictions of the models of a draw, in distribution and on each other dataset."""

    draw: Draw
    own: Predictions
    others: tuple[Predictions, ...]


def predict_draws(
    learner: Learner,
    inputs: Inputs,
    units: Units,
    folds: Sequence[Fold],
    draws: Sequence[Draw],
    others: Sequence[Inputs],
    done: Callable[[], None] = lambda: None,
    keep: Callable[[Draw, Fitted], None] = lambda draw, fitted: None,  # noqa: ARG005
) -> list[CurvePredictions]:
    """Train on every draw and predict the test units of the fold, and the other datasets.

    Args:
      learner: the way to fit.
      inputs: of the units.
      units: the units.
      folds: their folds.
      draws: what to train on.
      others: inputs of all units of other datasets.
      done: called after each model.
      keep: called with each model and its draw.
    """
    found = []
    for draw in draws:
        own: list[Predictions] = []
        elsewhere: list[list[Predictions]] = [[] for _ in others]
        for place, (fold, train) in enumerate(zip(folds, draw.train, strict=True)):
            fitted = fit_fold(learner, inputs, units, train)
            keep(draw, fitted)
            own.append(predict(fitted, inputs, fold.test, place))
            for parts, other in zip(elsewhere, others, strict=True):
                parts.append(predict(fitted, other, np.arange(len(other)), place))
            done()
        found.append(
            CurvePredictions(draw, Predictions.joined(own),
                             tuple(Predictions.joined(parts) for parts in elsewhere))
        )  # fmt: skip
    return found


def curve(
    units: Units,
    trained: Units,
    draws: Sequence[Draw],
    predictions: Sequence[Predictions],
    resamples: int,
    seed: int,
) -> list[Point]:
    """Return the points of a curve in the task's main metric.

    Args:
      units: the units that were predicted.
      trained: the units that trained.
      draws: the draws.
      predictions: those of each draw.
      resamples: number of bootstrap resamples of the predicted units' patients.
      seed: of the resamples.
    """
    name = primary(units.target.task)
    measured = resample(predictions, units, resamples, seed, [name])[name]
    points = []
    for fraction in sorted({draw.fraction for draw in draws}):
        places = [place for place, draw in enumerate(draws) if draw.fraction == fraction]
        values = measured[places]
        mean = mean_of_known(values.T)
        subsets = [train for place in places for train in draws[place].train]
        spread = float(np.nanstd(values[:, 0], ddof=1)) if len(places) > 1 else float("nan")
        points.append(
            Point(
                fraction,
                float(np.mean([len(train) for train in subsets])),
                float(np.mean([len(np.unique(trained.groups[train])) for train in subsets])),
                len(places),
                interval(mean[0], mean[1:]),
                spread,
                mean,
            )
        )
    return points
