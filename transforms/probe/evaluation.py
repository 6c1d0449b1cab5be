"""Cross-validation, and metrics of its predictions with bootstrap intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.bootstrap import resampled_counts
from beamscope.transforms.probe.learners.base import Fitted, Inputs, Learner
from beamscope.transforms.probe.metrics.table import measure
from beamscope.transforms.probe.splits.folds import Fold
from beamscope.transforms.probe.units import Units


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for units that the model has not seen.

    Attributes:
      units: place of the unit, ``[R]``; a unit may occur once in each fold.
      folds: fold whose model predicted, ``[R]``.
      scores: ``[R, S]``: probabilities of classes or labels, the number, or the risk.
    """

    units: Ints
    folds: Ints
    scores: Floats

    @staticmethod
    def joined(parts: Sequence[Predictions]) -> Predictions:
        """Return the predictions of several folds as one."""
        return Predictions(
            np.concatenate([part.units for part in parts]),
            np.concatenate([part.folds for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )


def fit_fold(learner: Learner, inputs: Inputs, units: Units, train: Ints) -> Fitted:
    """Fit a model on some units alone.

    Whatever is learnt from data, such as the scaling and the strength of the penalty, is learnt in
    here, so nothing of a fold's test units can reach its model.
    """
    return learner.fit(inputs[train], units.target.take(train), units.groups[train])


def predict(fitted: Fitted, inputs: Inputs, units: Ints, fold: int) -> Predictions:
    """Return a model's predictions for some units."""
    return Predictions(units, np.full(len(units), fold, np.int64), fitted.scores(inputs[units]))


def cross_validate(
    learner: Learner, inputs: Inputs, units: Units, folds: Sequence[Fold]
) -> tuple[Predictions, list[Fitted]]:
    """Return predictions for the test units of all folds, and the folds' models."""
    models, parts = [], []
    for place, fold in enumerate(folds):
        models.append(fit_fold(learner, inputs, units, fold.train))
        parts.append(predict(models[-1], inputs, fold.test, place))
    return Predictions.joined(parts), models


def resample(
    predictions: Sequence[Predictions],
    units: Units,
    resamples: int,
    seed: int,
    names: Sequence[str] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Return metrics of several predictions on the same patients and the same resamples of them.

    Args:
      predictions: P predictions for the same units.
      units: the units.
      resamples: number of bootstrap resamples.
      seed: of the resamples.
      names: metrics to compute; default: all of the task.

    Returns:
      by metric ``[P, 1 + resamples]``: the value on all patients, then those of the resamples.
    """
    involved = np.unique(np.concatenate([units.groups[one.units] for one in predictions]))
    rows = max(len(one.units) for one in predictions)
    of_chunks: list[list[dict[str, Floats]]] = []
    for counts in resampled_counts(len(involved), resamples, seed, rows):
        of_chunks.append([
            measure(
                units.target.take(one.units),
                one.scores,
                one.folds,
                counts[:, np.searchsorted(involved, units.groups[one.units])],
                names,
            )
            for one in predictions
        ])  # fmt: skip
    return {
        name: np.stack([
            np.concatenate([chunk[place][name] for chunk in of_chunks])
            for place in range(len(predictions))
        ])
        for name in of_chunks[0][0]
    }  # fmt: skip
