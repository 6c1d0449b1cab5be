"""Linear models on standardised features: logistic regression, ridge regression, Cox.

C is the inverse of the penalty's strength, as in scikit-learn; it is fixed, or chosen by
cross-validation inside the training units.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.learners.base import Fitted, Scaler
from beamscope.transforms.probe.learners.cox import fit_cox
from beamscope.transforms.probe.metrics.ranking import concordance
from beamscope.transforms.probe.splits.folds import fewest_groups, stratified_group_folds
from beamscope.transforms.probe.target import Target

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Taken where there are too few patients to choose by.
FALLBACK_C = 0.01
_INNER_FOLDS = 3
_LEAST_PROBABILITY = 1e-12
_MAX_ITERATIONS = 1000
_TRIAL_ITERATIONS = 60


class _Model(Protocol):
    def scores(self, scaled: Floats) -> Floats: ...


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear model with a quadratic penalty.

    Attributes:
      C: inverse of the penalty's strength; None to choose it.
      seed: of the inner folds.
    """

    C: float | None = None
    seed: int = 0
    name: str = "linear"

    def fit(self, inputs: npt.NDArray[np.floating], target: Target, groups: Ints) -> Fitted:
        """Return a model of vectors ``[n, D]``."""
        if self.C is not None:
            return _fit(inputs, target, [self.C])[0]
        C = self._choose(inputs, target, groups)  # noqa: N806
        fitted = _fit(inputs, target, [FALLBACK_C if C is None else C])[0]
        return dataclasses.replace(
            fitted, chosen={**fitted.chosen, "C_chosen": float(C is not None)}
        )

    def _choose(
        self, inputs: npt.NDArray[np.floating], target: Target, groups: Ints
    ) -> float | None:
        """Return the C with the lowest loss on inner folds; None if there are too few patients."""
        strata = target.strata()
        folds = min(_INNER_FOLDS, fewest_groups(strata, groups))
        if folds < 2:
            return None
        losses = np.zeros(len(GRID))
        for fold in stratified_group_folds(strata, groups, folds, self.seed):
            models = _fit(inputs[fold.train], target.take(fold.train), GRID)
            held_out = target.take(fold.test)
            losses += [loss(held_out, model.scores(inputs[fold.test])) for model in models]
        return GRID[int(losses.argmin())]


@dataclasses.dataclass(frozen=True, eq=False)
class _Scaled:
    scaler: Scaler
    model: _Model
    chosen: Mapping[str, float]

    def scores(self, inputs: Any) -> Floats:
        return self.model.scores(self.scaler(inputs))


def loss(target: Target, scores: Floats) -> float:
    """Return what the choice of C minimises: log loss, squared error, or 1 - c-index."""
    if target.task == "regression":
        return float(((target.values - scores) ** 2).sum())
    if target.task == "survival":
        times, events = target.values.T
        everyone = np.ones((1, len(target)))
        one_fold = np.zeros(len(target), np.int64)
        found = concordance(times, events, scores[:, 0], one_fold, everyone)[0]
        return float(1 - (0.5 if np.isnan(found) else found)) * len(target)
    hot = target.one_hot()
    sure = np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    if target.task == "classification":
        return float(-(hot * np.log(sure)).sum())
    return float(-np.nansum(hot * np.log(sure) + (1 - hot) * np.log(1 - sure)))


def _fit(
    inputs: npt.NDArray[np.floating], target: Target, strengths: Sequence[float]
) -> list[_Scaled]:
    """Return a model for each C, all on features scaled by these units."""
    scaler = Scaler(inputs)
    scaled = scaler(inputs)
    fits = {
        "classification": _fit_classes, "multilabel": _fit_labels,
        "regression": _fit_ridge, "survival": _fit_survival,
    }  # fmt: skip
    models = fits[target.task](scaled, target, strengths)
    return [_Scaled(scaler, model, {"C": C}) for C, model in zip(strengths, models, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Probabilities:
    """Probabilities of the classes that were there in training, at the places of all classes."""

    weights: Floats
    intercepts: Floats
    places: Ints
    classes: int

    def scores(self, scaled: Floats) -> Floats:
        found = np.zeros((len(scaled), self.classes))
        if len(self.places) == 1:
            found[:, self.places] = 1.0
            return found
        logits = scaled @ self.weights.T + self.intercepts
        if len(self.places) == 2:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        found[:, self.places] = odds / odds.sum(1, keepdims=True)
        return found


def _fit_classes(scaled: Floats, target: Target, strengths: Sequence[float]) -> list[_Model]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    truth = target.values[:, 0].astype(np.int64)
    places = np.unique(truth)
    classes = len(target.classes)
    if len(places) == 1:
        nothing = np.zeros((1, scaled.shape[1]))
        only = _Probabilities(nothing, np.zeros(1), places, classes)
        return [only for _ in strengths]
    # Each C begins where the one before it ended. To choose among them, scores that stand nearly
    # still are enough; the model that is kept is fitted to the end.
    several = len(strengths) > 1
    iterations = _TRIAL_ITERATIONS if several else _MAX_ITERATIONS
    model = LogisticRegression(max_iter=iterations, warm_start=several)
    fitted: list[_Model] = []
    with warnings.catch_warnings():
        # A nearly separable set with a weak penalty never quite converges; its scores stand still.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for C in strengths:  # noqa: N806
            model.set_params(C=C).fit(scaled, truth)
            fitted.append(
                _Probabilities(model.coef_.copy(), model.intercept_.copy(), places, classes)
            )
    return fitted


@dataclasses.dataclass(frozen=True, eq=False)
class _Labels:
    models: tuple[_Model, ...]

    def scores(self, scaled: Floats) -> Floats:
        return np.stack([model.scores(scaled)[:, 1] for model in self.models], axis=1)


def _fit_labels(scaled: Floats, target: Target, strengths: Sequence[float]) -> list[_Model]:
    by_label = []
    for place in range(len(target.classes)):
        rows = np.flatnonzero(~np.isnan(target.values[:, place]))
        label = Target("classification", target.values[rows, place, None], ("absent", "present"))
        if not len(rows):
            # Nothing is known of the label here: it is said to be absent.
            label = Target("classification", np.zeros((1, 1)), label.classes)
        by_label.append(_fit_classes(scaled[rows], label, strengths))
    return [_Labels(models) for models in zip(*by_label, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Line:
    weights: Floats
    intercept: float

    def scores(self, scaled: Floats) -> Floats:
        return (scaled @ self.weights + self.intercept)[:, None]


def _fit_ridge(scaled: Floats, target: Target, strengths: Sequence[float]) -> list[_Model]:
    from sklearn.linear_model import Ridge

    truth = target.values[:, 0]
    fitted: list[_Model] = []
    for C in strengths:  # noqa: N806
        model = Ridge(alpha=1 / C).fit(scaled, truth)
        fitted.append(_Line(model.coef_, float(model.intercept_)))
    return fitted


def _fit_survival(scaled: Floats, target: Target, strengths: Sequence[float]) -> list[_Model]:
    times, events = target.values.T
    return [_Line(fit_cox(scaled, times, events, C), 0.0) for C in strengths]
