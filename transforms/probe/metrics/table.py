"""The metrics of each task, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.metrics import calibration, decisions, numbers, ranking
from beamscope.transforms.probe.target import Target, Task

# The first is the one that curves and comparisons use.
NAMES: dict[Task, tuple[str, ...]] = {
    "classification": ("auc", "balanced_accuracy", "accuracy", "f1", "kappa", "brier", "ece"),
    "multilabel": ("auc", "balanced_accuracy", "f1", "kappa", "brier", "ece"),
    "regression": ("r2", "pearson", "mae"),
    "survival": ("c_index",),
}
TITLES = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "f1": "F1",
    "kappa": "Cohen's kappa",
    "brier": "Brier score",
    "ece": "calibration error",
    "r2": "R²",
    "pearson": "Pearson's r",
    "mae": "mean absolute error",
    "c_index": "c-index",
}
LOWER_IS_BETTER = frozenset({"brier", "ece", "mae"})
# The value of a model that knows nothing, where it does not depend on the labels.
CHANCE = {"auc": 0.5, "c_index": 0.5, "r2": 0.0}
_DECISIONS: dict[str, decisions.Decision] = {
    "accuracy": decisions.accuracy,
    "balanced_accuracy": decisions.balanced_accuracy,
    "f1": decisions.f1,
    "kappa": decisions.kappa,
}


def primary(task: Task) -> str:
    """Return the metric that curves and comparisons use."""
    return NAMES[task][0]


def measure(
    target: Target,
    scores: Floats,
    folds: Ints,
    weights: Floats,
    names: Sequence[str] | None = None,
) -> dict[str, Floats]:
    """Return metrics of predictions, each ``[B]``.

    Args:
      target: labels of the n predictions.
      scores: ``[n, S]``: probabilities of the classes or labels, the number, or the risk.
      folds: ``[n]``, the fold of each prediction.
      weights: ``[B, n]``, how often each prediction counts.
      names: metrics to compute; default: all of the task.
    """
    wanted = NAMES[target.task] if names is None else names
    if target.task == "regression":
        of_numbers: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
            "r2": numbers.r2, "pearson": numbers.pearson, "mae": numbers.mean_absolute_error,
        }  # fmt: skip
        return {
            name: of_numbers[name](target.values[:, 0], scores[:, 0], weights) for name in wanted
        }
    if target.task == "survival":
        times, events = target.values.T
        found = ranking.concordance(times, events, scores[:, 0], folds, weights)
        return dict.fromkeys(wanted, found)
    if target.task == "classification":
        return _of_classes(target, scores, folds, weights, wanted)
    of_labels = [
        measure_label(target.values[:, place], scores[:, place], folds, weights, wanted)
        for place in range(len(target.classes))
    ]
    return {
        name: decisions.mean_of_known(np.stack([found[name] for found in of_labels], -1))
        for name in wanted
    }


def measure_label(
    truth: Floats, probability: Floats, folds: Ints, weights: Floats, names: Sequence[str]
) -> dict[str, Floats]:
    """Return metrics of one of several labels, without the units where it is unknown."""
    rows = np.flatnonzero(~np.isnan(truth))
    known = Target("classification", truth[rows, None], ("absent", "present"))
    both = np.stack([1 - probability[rows], probability[rows]], axis=1)
    return _of_classes(known, both, folds[rows], weights[:, rows], names)


def _of_classes(
    target: Target, scores: Floats, folds: Ints, weights: Floats, names: Sequence[str]
) -> dict[str, Floats]:
    truth = target.values[:, 0].astype(np.int64)
    decided = scores.argmax(1)
    one_hot = target.one_hot()
    matrix: Floats | None = None
    found = {}
    for name in names:
        if name == "auc":
            classes = [1] if len(target.classes) == 2 else range(len(target.classes))
            one_by_one = [
                ranking.auc(one_hot[:, place], scores[:, place], folds, weights)
                for place in classes
            ]
            found[name] = decisions.mean_of_known(np.stack(one_by_one, axis=-1))
        elif name == "brier":
            found[name] = calibration.brier(one_hot, scores, weights)
        elif name == "ece":
            true, probability = predictions_that_come_true(target, scores)
            found[name] = calibration.expected_error(true, probability, weights)
        else:
            if matrix is None:
                matrix = decisions.confusion(truth, decided, len(target.classes), weights)
            found[name] = _DECISIONS[name](matrix)
    return found


def predictions_that_come_true(target: Target, scores: Floats) -> tuple[Floats, Floats]:
    """Return what calibration compares: whether predictions came true, and their probabilities.

    Of two classes it is the probability of the second; of more, that of the most likely class; of
    several labels, every known label of every unit.
    """
    if target.task == "multilabel":
        known = ~np.isnan(target.values)
        return target.values[known], scores[known]
    truth = target.values[:, 0].astype(np.int64)
    if len(target.classes) == 2:
        return truth.astype(np.float64), scores[:, 1]
    decided = scores.argmax(1)
    return (decided == truth).astype(np.float64), scores.max(1)
