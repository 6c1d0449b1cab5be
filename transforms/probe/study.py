"""A study: fit every model on every dataset, and measure what it shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from beamscope.transforms.probe.arrays import Floats
from beamscope.transforms.probe.bootstrap import Interval, interval
from beamscope.transforms.probe.compare import Difference, Saved, difference, labels_saved
from beamscope.transforms.probe.curve import (
    Draw,
    Point,
    curve,
    draw_fractions,
    predict_draws,
)
from beamscope.transforms.probe.evaluation import Predictions, resample
from beamscope.transforms.probe.learners.base import Fitted, Inputs, Learner
from beamscope.transforms.probe.metrics.table import CHANCE, NAMES, measure_label, primary
from beamscope.transforms.probe.splits.folds import Fold
from beamscope.transforms.probe.target import Task
from beamscope.transforms.probe.units import Units


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """How a study is done.

    Attributes:
      fractions: of the labels that train, above 0 and at most 1; 1 is always among them.
      draws: number of draws of each fraction below 1.
      resamples: number of bootstrap resamples.
      seed: of draws and resamples.
    """

    fractions: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    draws: int = 5
    resamples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A kind of model on the embeddings of one dataset.

    Attributes:
      name: as reports call it.
      learner: the way to fit.
      inputs: of the units.
      others: inputs of the units of each other dataset.
    """

    name: str
    learner: Learner
    inputs: Inputs
    others: tuple[Inputs, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class On:
    """How well a model does on one dataset.

    Attributes:
      dataset: its name.
      metrics: metrics with all labels, each with its interval.
      by_label: metrics of each label, for several labels; empty otherwise.
      curve: the data-efficiency curve in the task's main metric.
      predictions: with all labels.
      resampled: metrics with all labels on the resamples, ``[1 + B]`` each.
    """

    dataset: str
    metrics: dict[str, Interval]
    by_label: dict[str, dict[str, Interval]]
    curve: list[Point]
    predictions: Predictions
    resampled: dict[str, Floats]


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a study has found of a model.

    Attributes:
      model: its name.
      on: results in distribution, then on each other dataset.
      fitted: the models of the folds, trained with all labels.
    """

    model: str
    on: tuple[On, ...]
    fitted: tuple[Fitted, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on one dataset.

    Attributes:
      dataset: name of the dataset.
      a: name of the first model.
      b: name of the second.
      differences: of each metric, A less B, with all labels.
      saved: how many labels fewer A needs for B's score with all labels.
      saved_by_b: the same with A and B changed.
    """

    dataset: str
    a: str
    b: str
    differences: tuple[Difference, ...]
    saved: Saved
    saved_by_b: Saved


def models_to_fit(settings: StudySettings, folds: int, models: int) -> int:
    """Return how often a model is fitted, for a progress bar."""
    parts = sum(1 if fraction >= 1 else settings.draws for fraction in _fractions(settings))
    return models * folds * parts


def _fractions(settings: StudySettings) -> list[float]:
    return sorted({*settings.fractions, 1.0})


def run_study(
    models: Sequence[Model],
    units: Units,
    folds: Sequence[Fold],
    others: Sequence[tuple[str, Units]],
    settings: StudySettings,
    own_name: str,
    done: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Return the results of all models, on the same folds, draws and resamples.

    Args:
      models: the models.
      units: labelled units.
      folds: places of the units that train and test.
      others: name and units of each other dataset, which only tests.
      settings: how it is done.
      own_name: name of the dataset of the units.
      done: called after each model that was fitted.
    """
    draws = draw_fractions(units, folds, _fractions(settings), settings.draws, settings.seed)
    results = []
    for model in models:
        fitted: list[Fitted] = []

        def keep(draw: Draw, one: Fitted, fitted: list[Fitted] = fitted) -> None:
            if draw.fraction >= 1:
                fitted.append(one)

        predicted = predict_draws(
            model.learner, model.inputs, units, folds, draws, model.others, done, keep
        )
        own = _on(own_name, units, units, draws, [some.own for some in predicted], settings)
        elsewhere = [
            _on(name, other, units, draws, [some.others[place] for some in predicted], settings)
            for place, (name, other) in enumerate(others)
        ]
        results.append(Result(model.name, (own, *elsewhere), tuple(fitted)))
    return results


def _on(
    name: str,
    units: Units,
    trained: Units,
    draws: Sequence[Draw],
    predictions: Sequence[Predictions],
    settings: StudySettings,
) -> On:
    # Draws are sorted by fraction, and all labels are drawn once.
    whole = predictions[-1]
    resampled = {
        metric: values[0]
        for metric, values in resample([whole], units, settings.resamples, settings.seed).items()
    }
    return On(
        name,
        {metric: interval(values[0], values[1:]) for metric, values in resampled.items()},
        _by_label(units, whole),
        curve(units, trained, draws, predictions, settings.resamples, settings.seed),
        whole,
        resampled,
    )


def _by_label(units: Units, predictions: Predictions) -> dict[str, dict[str, Interval]]:
    if units.target.task != "multilabel":
        return {}
    truth = units.target.values[predictions.units]
    everyone = np.ones((1, len(truth)))
    nan = float("nan")
    return {
        label: {
            metric: Interval(float(values[0]), nan, nan)
            for metric, values in measure_label(
                truth[:, place], predictions.scores[:, place], predictions.folds, everyone,
                NAMES["multilabel"],
            ).items()
        }
        for place, label in enumerate(units.target.classes)
    }  # fmt: skip


def comparisons(results: Sequence[Result], task: Task) -> Iterator[Comparison]:
    """Yield every pair of models on every dataset, from resamples of the same patients."""
    chance = CHANCE.get(primary(task))
    for later, b in enumerate(results):
        for a in results[:later]:
            for on_a, on_b in zip(a.on, b.on, strict=True):
                yield Comparison(
                    on_a.dataset,
                    a.model,
                    b.model,
                    tuple(
                        difference(metric, on_a.resampled[metric], on_b.resampled[metric])
                        for metric in on_a.resampled
                    ),
                    labels_saved(on_a.curve, on_b.curve, chance),
                    labels_saved(on_b.curve, on_a.curve, chance),
                )
