"""The pictures of a run: the data-efficiency curve and the calibration, as SVG and PNG."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from beamscope.transforms.probe.curve import Point
from beamscope.transforms.probe.findings.found import Findings
from beamscope.transforms.probe.metrics.calibration import bins
from beamscope.transforms.probe.metrics.table import (
    CHANCE,
    TITLES,
    predictions_that_come_true,
    primary,
)

# Okabe and Ito's colours, which people with any colour vision can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vPX"
# Ticks on the logarithmic axis are at least this factor apart.
_APART = 1.5
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "beamscope",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_curves(found: Findings, form: str = "svg") -> bytes:
    """Return the data-efficiency curves, a panel for each dataset, as ``svg`` or ``png``."""
    metric = primary(found.units[0].target.task)
    datasets = [on.dataset for on in found.results[0].on]
    # So that the points of two models at one place can both be seen.
    shifts = np.linspace(-1, 1, len(found.results)) if len(found.results) > 1 else [0.0]
    with _figure(len(datasets)) as (figure, axes):
        for place, (axis, dataset) in enumerate(zip(axes, datasets, strict=True)):
            for number, (result, shift) in enumerate(zip(found.results, shifts, strict=True)):
                points = result.on[place].curve
                labels = np.array([point.labels for point in points]) * 1.02**shift
                values = np.array([point.interval.value for point in points])
                ends = np.array([(point.interval.low, point.interval.high) for point in points])
                colour = _COLOURS[number % len(_COLOURS)]
                axis.fill_between(labels, ends[:, 0], ends[:, 1], color=colour, alpha=0.15, lw=0)
                axis.plot(
                    labels, values, color=colour, marker=_MARKERS[number % len(_MARKERS)],
                    markersize=5, label=result.model,
                )  # fmt: skip
            if metric in CHANCE:
                axis.axhline(CHANCE[metric], color="#888888", lw=1, ls=":")
            axis.set_xscale("log")
            ticks = _ticks(found.results[0].on[place].curve)
            axis.set_xticks(
                [point.labels for point in ticks],
                [f"{point.labels:.0f}\n{point.fraction * 100:g} %" for point in ticks],
            )
            axis.set_xticks([], minor=True)
            axis.set_xlabel("labels that train")
            axis.set_ylabel(TITLES[metric])
            where = "in distribution" if place == 0 else "out of distribution"
            title = where if dataset == where else f"{dataset}, {where}"
            axis.set_title(title, loc="left", fontsize=10)
            axis.grid(axis="y", color="#e5e5e5", lw=0.8)
        _add_legend(figure, axes[0])
        return _rendered(figure, form)


def draw_calibration(found: Findings, form: str = "svg") -> bytes | None:
    """Return calibration plots, a panel for each dataset; None where nothing is a probability."""
    if found.units[0].target.task not in ("classification", "multilabel"):
        return None
    datasets = [on.dataset for on in found.results[0].on]
    with _figure(len(datasets), width=4.2) as (figure, axes):
        for place, (axis, dataset) in enumerate(zip(axes, datasets, strict=True)):
            axis.plot([0, 1], [0, 1], color="#888888", lw=1, ls=":")
            for number, result in enumerate(found.results):
                predictions = result.on[place].predictions
                target = found.units[place].target.take(predictions.units)
                points = bins(*predictions_that_come_true(target, predictions.scores))
                most = max(point.predictions for point in points)
                colour = _COLOURS[number % len(_COLOURS)]
                chances = [point.probability for point in points]
                shares = [point.share for point in points]
                axis.plot(chances, shares, color=colour, lw=1, label=result.model)
                sizes = [8 + 60 * point.predictions / most for point in points]
                axis.scatter(chances, shares, s=sizes, color=colour, zorder=3)
            axis.set_xlim(-0.02, 1.02)
            axis.set_ylim(-0.02, 1.02)
            axis.set_xlabel("predicted probability")
            axis.set_ylabel("share that came true")
            axis.set_title(dataset, loc="left", fontsize=10)
            axis.grid(color="#e5e5e5", lw=0.8)
        _add_legend(figure, axes[0])
        return _rendered(figure, form)


@contextlib.contextmanager
def _figure(panels: int, width: float = 5.4) -> Iterator[tuple[Any, Sequence[Any]]]:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        # Not by pyplot, which keeps figures and may open a window.
        figure = Figure(figsize=(width * panels, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, np.atleast_1d(figure.subplots(1, panels)).tolist()


def _ticks(curve: Sequence[Point]) -> list[Point]:
    """Return the points whose labels stand apart; small fractions of few labels are alike."""
    shown: list[Point] = []
    for point in reversed(curve):
        if not shown or point.labels * _APART <= shown[-1].labels:
            shown.append(point)
    return shown[::-1]


def _add_legend(figure: Any, axis: Any) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", frameon=False, ncols=2)


def _rendered(figure: Any, form: str) -> bytes:
    out = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {}
    figure.savefig(out, format=form, dpi=150, metadata=metadata)
    return out.getvalue()
