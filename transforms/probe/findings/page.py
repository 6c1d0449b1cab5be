"""The page of a run: one HTML file that needs no network."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Sequence

from beamscope.transforms.probe.bootstrap import Interval
from beamscope.transforms.probe.compare import Saved
from beamscope.transforms.probe.findings.figures import draw_calibration, draw_curves
from beamscope.transforms.probe.findings.found import Findings
from beamscope.transforms.probe.findings.tables import counts_of
from beamscope.transforms.probe.metrics.table import LOWER_IS_BETTER, NAMES, TITLES, primary
from beamscope.transforms.probe.study import Comparison
from beamscope.transforms.storage import files

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 1100px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, li { max-width: 48rem; } .small { color: #555; font-size: 0.9rem; }
.wide { overflow-x: auto; } .wide svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 0.6rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top; white-space: nowrap; }
th { font-weight: 600; border-bottom: 2px solid #999; } td i { color: #666; font-style: normal; }
.tall td i { display: block; font-size: 0.9em; } .tall th { white-space: normal; }
"""


def write_page(path: str, found: Findings) -> None:
    """Write ``report.html``."""
    files.write_bytes(path, "\n".join(_page(found)).encode())


def _page(found: Findings) -> Iterator[str]:
    task = found.units[0].target.task
    target = found.columns[found.results[0].on[0].dataset]["target"]
    title = f"{target} from the embeddings of {', '.join(found.datasets)}"
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{html.escape(title)}</h1>"
    yield f'<p class="small">beamscope probe, {task}</p>'
    yield from _data(found)
    yield "<h2>With all labels</h2>"
    yield from _scores(found)
    yield "<h2>With fewer labels</h2>"
    yield f'<div class="wide">{_svg(draw_curves(found))}</div>'
    yield (
        '<p class="small">Lines are means over the draws of the training labels; bands are 95 % '
        "intervals over the patients who are tested. They do not hold how much a draw of few "
        "labels varies: the table has that as the spread over draws.</p>"
    )
    yield from _curves(found)
    if found.comparisons:
        yield "<h2>Models side by side</h2>"
        yield from _comparisons(found)
    if any(on.by_label for result in found.results for on in result.on):
        yield "<h2>Each label</h2>"
        yield from _labels(found)
    calibration = draw_calibration(found)
    if calibration is not None:
        yield "<h2>Calibration</h2>"
        yield f'<div class="wide">{_svg(calibration)}</div>'
        yield (
            '<p class="small">On the dotted line, as many predictions come true as their '
            "probability says. The size of a point is its number of predictions.</p>"
        )
    yield "<h2>How this was done</h2><ul>"
    yield from (f"<li>{html.escape(note)}</li>" for note in [*_method(found), *found.notes])
    yield "</ul></body></html>"


def _data(found: Findings) -> Iterator[str]:
    rows = []
    for on, units in zip(found.results[0].on, found.units, strict=True):
        counts = counts_of(units)
        more = ""
        if "classes" in counts:
            more = ", ".join(f"{name}: {count:,}" for name, count in counts["classes"].items())
        if "labels" in counts:
            more = ", ".join(
                f"{name}: {label['present']:,} of {label['present'] + label['absent']:,}"
                for name, label in counts["labels"].items()
            )
        if "events" in counts:
            more = f"{counts['events']:,} events"
        rows.append([on.dataset, f"{counts['units']:,}", f"{counts['patients']:,}", more])
    yield _table(["dataset", "units", "patients or groups", "labels"], rows)


def _scores(found: Findings) -> Iterator[str]:
    task = found.units[0].target.task
    several = len(found.units) > 1
    names = NAMES[task]
    rows = [
        [result.model, *([on.dataset] if several else []),
         *(_interval(on.metrics[name]) for name in names)]
        for result in found.results for on in result.on
    ]  # fmt: skip
    heads = [
        TITLES[name] + (" (lower is better)" if name in LOWER_IS_BETTER else "") for name in names
    ]
    table = _table(["model", *(["dataset"] if several else []), *heads], rows)
    yield f'<div class="tall">{table}</div>'
    yield (
        '<p class="small">The value on all tested patients, and its 95 % interval from a bootstrap '
        "over patients.</p>"
    )


def _curves(found: Findings) -> Iterator[str]:
    several = len(found.units) > 1
    rows = []
    for result in found.results:
        for on in result.on:
            for point in on.curve:
                spread = "" if math.isnan(point.spread) else f"{point.spread:.3f}"
                rows.append([
                    result.model, *([on.dataset] if several else []), f"{point.fraction * 100:g} %",
                    f"{point.labels:.0f}", f"{point.patients:.0f}", str(point.draws),
                    _interval(point.interval), spread,
                ])  # fmt: skip
    metric = TITLES[primary(found.units[0].target.task)]
    yield _table(
        ["model", *(["dataset"] if several else []), "fraction", "labels", "patients", "draws",
         metric, "spread over draws"],
        rows,
    )  # fmt: skip


def _comparisons(found: Findings) -> Iterator[str]:
    metric = primary(found.units[0].target.task)
    title = TITLES[metric]
    rows = []
    for pair in found.comparisons:
        (gap,) = [one for one in pair.differences if one.metric == metric]
        rows.append([pair.dataset, pair.a, pair.b, _interval(gap.interval, signed=True),
                     f"{gap.a_higher:.0%}"])  # fmt: skip
    yield _table(
        ["dataset", "A", "B", f"{title} of A less that of B", "resamples in which A is higher"],
        rows,
    )
    sentences = []
    several = len(found.units) > 1
    for pair in found.comparisons:
        for winner, loser, saved in both_ways(pair):
            where = f"{pair.dataset}: " if several else ""
            sentences.append(html.escape(where + saved_sentence(winner, loser, saved)))
    yield "<ul>" + "".join(f"<li>{sentence}</li>" for sentence in sentences) + "</ul>"


def saved_sentence(winner: str, loser: str, saved: Saved) -> str:
    """Return what a factor of labels saved says, such as "A equals B's full score with 1/7 …"."""
    if saved.factor is None:
        return (
            f"{winner} does not reach the full score of {loser} ({saved.score:.3f}) with all "
            f"of its labels (it does in {saved.reached:.0%} of the resamples)."
        )
    bound = " or fewer" if saved.at_least else ""
    low = _part(saved.low) if saved.low > 0 else "more than all"
    high = _part(saved.high) + (" or fewer" if saved.high_at_least else "")
    chance = ", which is no better than chance" if saved.by_chance else ""
    return (
        f"{winner} equals the full score of {loser} ({saved.score:.3f}{chance}) with "
        f"{_part(saved.factor)}{bound} of the labels (95 % interval: {low} to {high})."
    )


def _part(factor: float) -> str:
    return "all" if factor < 1.05 else f"1/{factor:.1f}" if factor < 10 else f"1/{factor:.0f}"


def both_ways(pair: Comparison) -> tuple[tuple[str, str, Saved], tuple[str, str, Saved]]:
    """Return both models of a pair as the one that may save labels, the other, and the factor."""
    return (pair.a, pair.b, pair.saved), (pair.b, pair.a, pair.saved_by_b)


def _labels(found: Findings) -> Iterator[str]:
    names = NAMES["multilabel"]
    rows = [
        [result.model, on.dataset, label, *(_number(metrics[name].value) for name in names)]
        for result in found.results
        for on in result.on
        for label, metrics in on.by_label.items()
    ]
    yield _table(["model", "dataset", "label", *(TITLES[name] for name in names)], rows)


def _method(found: Findings) -> list[str]:
    columns = next(iter(found.columns.values()))
    scaled = "Features are scaled, and C is chosen, inside the training units of a fold alone."
    return [
        f"Labels are in column {columns['target']}; a unit is a {columns['unit']}; patients are "
        f"told apart by {columns['groups']}.",
        f"{len(found.folds)} folds; no patient is in the training and the test units of a fold.",
        scaled,
        "Small fractions of the labels are drawn by patient, of every class alike, at least one "
        "patient of each class; all models are trained on the same draws.",
        "AUC and c-index compare pairs within a fold alone; other metrics take all predictions.",
        *(f"{name}: {value}" for name, value in found.settings.items()),
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(text: str) -> str:
    """Return a cell with its interval, in brackets, in grey."""
    value, bracket, rest = html.escape(text).partition(" (")
    looks = bracket and " to " in rest
    return f"{value} <i>({rest}</i>" if looks else html.escape(text)


def _interval(interval: Interval, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if math.isnan(interval.low):
        return _number(interval.value)
    return f"{interval.value:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _svg(picture: bytes) -> str:
    """Return an SVG without its XML prolog, to stand in a page."""
    text = picture.decode()
    return text[text.index("<svg") :]
