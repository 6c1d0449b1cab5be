"""The tables of a run: metrics.json, predictions.csv, curve.csv."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from typing import Any

import numpy as np

from beamscope.transforms.probe.bootstrap import Interval
from beamscope.transforms.probe.compare import Saved
from beamscope.transforms.probe.curve import Point
from beamscope.transforms.probe.evaluation import Predictions
from beamscope.transforms.probe.findings.found import Findings
from beamscope.transforms.probe.metrics.table import primary
from beamscope.transforms.probe.units import Units
from beamscope.transforms.storage import files


def write_metrics(path: str, found: Findings) -> None:
    """Write ``metrics.json``."""
    task = found.units[0].target.task
    content = {
        "task": task,
        "classes": list(found.units[0].target.classes),
        "main_metric": primary(task),
        "settings": dict(found.settings),
        "labels": {name: dict(columns) for name, columns in found.columns.items()},
        "data": {
            on.dataset: counts_of(units)
            for on, units in zip(found.results[0].on, found.units, strict=True)
        },
        "notes": list(found.notes),
        "models": [
            {
                "model": result.model,
                "chosen": [dict(fitted.chosen) for fitted in result.fitted],
                "on": {
                    on.dataset: {
                        "metrics": _intervals(on.metrics),
                        "by_label": {
                            label: _intervals(metrics) for label, metrics in on.by_label.items()
                        },
                        "curve": [_point(point) for point in on.curve],
                    }
                    for on in result.on
                },
            }
            for result in found.results
        ],
        "comparisons": [
            {
                "dataset": pair.dataset,
                "a": pair.a,
                "b": pair.b,
                "differences": {
                    one.metric: {**_interval(one.interval), "a_higher": one.a_higher}
                    for one in pair.differences
                },
                "labels_saved_by_a": _saved(pair.saved),
                "labels_saved_by_b": _saved(pair.saved_by_b),
            }
            for pair in found.comparisons
        ],
    }
    text = json.dumps(_without_nan(content), indent=2, allow_nan=False)
    files.write_bytes(path, (text + "\n").encode())


def counts_of(units: Units) -> dict[str, Any]:
    """Return the numbers of units, patients, and units of each class or label."""
    target = units.target
    counts: dict[str, Any] = {"units": len(units), "patients": len(np.unique(units.groups))}
    if target.task == "classification":
        of_class = np.bincount(target.values[:, 0].astype(int), minlength=len(target.classes))
        counts["classes"] = dict(zip(target.classes, of_class.tolist(), strict=True))
    if target.task == "multilabel":
        counts["labels"] = {
            label: {"present": int((column == 1).sum()), "absent": int((column == 0).sum()),
                    "unknown": int(np.isnan(column).sum())}
            for label, column in zip(target.classes, target.values.T, strict=True)
        }  # fmt: skip
    if target.task == "survival":
        counts["events"] = int(target.values[:, 1].sum())
    return counts


def write_predictions(path: str, found: Findings) -> None:
    """Write ``predictions.csv``: a row for each model, dataset, fold and unit it was tested on."""
    with files.atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        target = found.units[0].target
        truth = _truth_names(target.task, target.classes)
        scores = score_names(target.task, target.classes)
        writer.writerow(["model", "dataset", "fold", "unit", *truth, *scores])
        for result in found.results:
            for on, units in zip(result.on, found.units, strict=True):
                for row in _rows(on.predictions, units):
                    writer.writerow([result.model, on.dataset, *row])


def _truth_names(task: str, classes: tuple[str, ...]) -> list[str]:
    if task == "multilabel":
        return [f"label_{name}" for name in classes]
    return ["time", "event"] if task == "survival" else ["label"]


def score_names(task: str, classes: tuple[str, ...]) -> list[str]:
    """Return the columns of scores: ``score_CLASS`` of each class, ``predicted`` or ``risk``."""
    if task in ("classification", "multilabel"):
        return [f"score_{name}" for name in classes]
    return ["risk" if task == "survival" else "predicted"]


def _rows(predictions: Predictions, units: Units) -> list[list[Any]]:
    target = units.target
    rows = []
    for unit, fold, scores in zip(
        predictions.units.tolist(), predictions.folds.tolist(), predictions.scores, strict=True
    ):
        truth: list[Any] = [
            "" if math.isnan(value) else f"{value:g}" for value in target.values[unit]
        ]
        if target.task == "classification":
            truth = [target.classes[int(target.values[unit, 0])]]
        rows.append([fold, units.names[unit], *truth, *(f"{score:.6g}" for score in scores)])
    return rows


def write_curve(path: str, found: Findings) -> None:
    """Write ``curve.csv``: a row for each model, dataset and fraction of the labels."""
    metric = primary(found.units[0].target.task)
    with files.atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "dataset", "fraction", "labels", "patients", "draws", "metric",
                         "value", "low", "high", "spread_over_draws"])  # fmt: skip
        for result in found.results:
            for on in result.on:
                for point in on.curve:
                    ends = (point.interval.value, point.interval.low, point.interval.high)
                    writer.writerow([
                        result.model, on.dataset, f"{point.fraction:g}", f"{point.labels:.1f}",
                        f"{point.patients:.1f}", point.draws, metric,
                        *(f"{end:.4f}" for end in ends),
                        "" if math.isnan(point.spread) else f"{point.spread:.4f}",
                    ])  # fmt: skip


def _intervals(metrics: dict[str, Interval]) -> dict[str, Any]:
    return {metric: _interval(interval) for metric, interval in metrics.items()}


def _interval(interval: Interval) -> dict[str, float]:
    return dataclasses.asdict(interval)


def _point(point: Point) -> dict[str, Any]:
    return {
        "fraction": point.fraction, "labels": point.labels, "patients": point.patients,
        "draws": point.draws, "spread_over_draws": point.spread, **_interval(point.interval),
    }  # fmt: skip


def _saved(saved: Saved) -> dict[str, Any]:
    return dataclasses.asdict(saved)


def _without_nan(value: Any) -> Any:
    """Return JSON values with null where there is no number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
