"""Gather what a report shows from a finished dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.features import has_embedding, matrix_of
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.report.components import Components, fit_components
from beamscope.transforms.report.image_cards import ImageCard, image_cards
from beamscope.transforms.report.page import Report, TableData
from beamscope.transforms.report.projection import label_columns, points_of
from beamscope.transforms.report.sample import sampled_tables, spread
from beamscope.transforms.report.slide_cards import Card, slide_card
from beamscope.transforms.sources.image_reading import ImageReading
from beamscope.transforms.sources.sources import Source

# Who a patient is has no place in a page that is passed on.
_PRIVATE = ("patient_id", "study_id", "patient", "uri", "source")
_TABLE_ROWS = 20_000
_STATUS_ORDER = ("failed", "partial", "empty", "done")


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much a report reads and shows.

    Attributes:
      pictures: number of slides or images with a picture.
      sample_rows: rows that the components are computed from.
      points: rows in the projection.
      map_rows: rows of all maps together.
    """

    pictures: int = 60
    sample_rows: int = 20_000
    points: int = 4_000
    map_rows: int = 300_000


def make_report(
    dataset: Dataset,
    layout: Layout,
    *,
    listed: str,
    reading: ImageReading | None = None,
    sources: Sequence[Source] = (),
    label: str | None = None,
    limits: Limits | None = None,
) -> Report:
    """Return the report of a dataset.

    Args:
      dataset: the dataset.
      layout: its paths.
      listed: plural noun of its items, such as ``slides``.
      reading: how its images were read; None for slides.
      sources: the sources of its images.
      label: the column to colour the projection by; None to choose.
      limits: how much is read and shown.
    """
    limits = limits or Limits()
    components, points, points_note = _components(dataset, label, limits)
    cards: list[Card] = []
    images: list[ImageCard] = []
    cards_note = images_note = ""
    if dataset.table_name == "slides":
        cards, cards_note = _slide_cards(dataset, layout, components, limits)
    elif reading is not None:
        images, images_note = _image_cards(dataset, reading, sources, listed, limits)
    description = dataset.description
    return Report(
        title=f"beamscope: {dataset.root.rstrip('/').rpartition('/')[2]}",
        subtitle=f"{description.get('job', listed)} finished {description.get('finished', '')}; "
        f"model {dataset.model().get('name', 'unknown')}",
        numbers=_numbers(dataset, listed),
        tables={
            listed.capitalize(): _items(dataset),
            "Problems": _problems(dataset),
        },
        cards=cards,
        cards_note=cards_note,
        images=images,
        images_note=images_note,
        points=points,
        points_note=points_note,
        provenance={
            name: description[key]
            for name, key in (
                ("Model", "model"), ("Models", "models"), ("Options", "options"),
                ("Versions", "versions"), ("Counts", "counts"),
                ("Counters of the last start", "counters"),
            )
            if description.get(key) is not None
        },
    )  # fmt: skip


def _components(
    dataset: Dataset, label: str | None, limits: Limits
) -> tuple[Components | None, dict[str, Any] | None, str]:
    """Return the components, the points of the projection, and a sentence about both."""
    column = dataset.embedding_column(None)
    others = [name for name in dataset.columns if name not in dataset.embedding_columns]
    kept: list[pa.Table] = []

    def batches() -> Any:
        for table in sampled_tables(dataset, limits.sample_rows, [*others, column]):
            matrix = matrix_of(table[column])
            if not (there := has_embedding(matrix)).all():
                table, matrix = table.filter(pa.array(there)), matrix[there]
            kept.append(table)
            yield matrix[np.isfinite(matrix).all(axis=1)]

    components = fit_components(batches())
    if components is None:
        return None, None, ""
    rows = pa.concat_tables(kept)
    rows = rows.take(spread(limits.points, rows.num_rows))
    labels = label_columns(rows.select(others), dataset.items, label)
    points = points_of(components, [matrix_of(rows[column])], labels)
    share = components.explained[:2].sum()
    sample = (
        f"all {components.rows:,} rows"
        if components.rows >= len(dataset)
        else f"a sample of {components.rows:,} of {len(dataset):,} rows"
    )
    note = (
        f"The first two principal components, computed from {sample}, hold {share:.0%} of the "
        f"variance; {rows.num_rows:,} rows are drawn."
    )
    return components, points, note


def _slide_cards(
    dataset: Dataset, layout: Layout, components: Components | None, limits: Limits
) -> tuple[list[Card], str]:
    rows = dataset.items.to_pylist()
    wrong = [row for row in rows if row["status"] in ("failed", "partial")]
    right = [row for row in rows if row["status"] not in ("failed", "partial")]
    # Half of the room at most is for what went wrong, unless there is room for all.
    few = wrong[: max(limits.pictures // 2, limits.pictures - len(right))]
    chosen = few + [right[place] for place in spread(limits.pictures - len(few), len(right))]
    left = limits.map_rows
    cards = []
    for row in sorted(chosen, key=lambda row: str(row["slide_id"])):
        with_map = row["patches_embedded"] <= left
        cards.append(slide_card(dataset, layout, row, components, with_map=with_map))
        left -= row["patches_embedded"] if with_map else 0
    maps = sum(card.map is not None for card in cards)
    note = (
        "Colours of the maps: the first three principal components of all embeddings as red, "
        "green and blue, the same in every slide. "
    )
    if len(cards) < len(rows):
        note += f"{len(cards):,} of {len(rows):,} slides are shown. "
    embedded = sum(bool(card.row["patches_embedded"]) for card in cards)
    if maps < embedded:
        note += f"{maps:,} of {embedded:,} have a map: more would take too long. "
    return cards, note.strip()


def _image_cards(
    dataset: Dataset,
    reading: ImageReading,
    sources: Sequence[Source],
    listed: str,
    limits: Limits,
) -> tuple[list[ImageCard], str]:
    there = dataset.embedded
    rows = there.take(spread(limits.pictures, there.num_rows)).to_pylist()
    cards = image_cards(rows, sources, reading, dataset.options())
    note = (
        f"{len(cards):,} of {there.num_rows:,} embedded {listed}, decoded again just as the job "
        "did: these pixels went into the model."
    )
    return cards, note


def _numbers(dataset: Dataset, listed: str) -> list[tuple[str, str]]:
    counts = dataset.description["counts"]
    statuses: Mapping[str, int] = counts[dataset.table_name]
    found = [(f"{sum(statuses.values()):,}", listed)]
    found += [(f"{statuses[name]:,}", name) for name in reversed(_STATUS_ORDER) if name in statuses]
    found.append((f"{counts['rows']:,}", "embeddings"))
    found.append((f"{dataset.model().get('features', 0):,}", "features"))
    found.append((f"{sum(counts['problems'].values()):,}", "problems"))
    return found


def _items(dataset: Dataset) -> TableData:
    items = dataset.items
    note = ""
    if items.num_rows > _TABLE_ROWS:
        # What went wrong first, then a spread of the rest.
        good = pc.fill_null(pc.equal(items["status"], "done"), False)
        wrong = items.filter(pc.invert(good)).slice(0, _TABLE_ROWS // 2)
        right = items.filter(good)
        right = right.take(spread(_TABLE_ROWS - wrong.num_rows, right.num_rows))
        note = (
            f"{_TABLE_ROWS:,} of {items.num_rows:,} rows: those that are not done first. All of "
            f"them are in {dataset.table_name}.parquet."
        )
        items = pa.concat_tables([wrong, right])
    names = [name for name in items.column_names if name not in _PRIVATE]
    first = [name for name in (names[0], "status", "reason") if name in names]
    order = [*first, *(name for name in names if name not in first)]
    columns = [name for name in order if items[name].null_count < items.num_rows or name in first]
    rows = [[_cell(row[name]) for name in columns] for row in items.select(columns).to_pylist()]
    return TableData("items", columns, rows, note)


def _problems(dataset: Dataset) -> TableData:
    problems = dataset.problems
    note = "Nothing went wrong." if not problems.num_rows else ""
    if problems.num_rows > _TABLE_ROWS:
        note = f"The first {_TABLE_ROWS:,} of {problems.num_rows:,}."
        problems = problems.slice(0, _TABLE_ROWS)
    kinds = {str(kind): kind for kind in Kind}
    rows = []
    for problem in problems.to_pylist():
        kind = problem["kind"]
        known = kinds.get(kind)
        place = None
        if problem.get("x_level0") is not None:
            place = f"({problem['x_level0']:,}, {problem['y_level0']:,})"
        rows.append([
            problem["item_id"], problem.get("member"), place, known.sentence if known else kind,
            problem["message"], known.remedy if known else "",
        ])  # fmt: skip
    names = ["item", "member", "place at level 0", "what", "message", "remedy"]
    used = [i for i in range(len(names)) if i in (0, 3) or any(row[i] for row in rows)]
    return TableData(
        "problems", [names[i] for i in used], [[row[i] for i in used] for row in rows], note
    )


def _cell(value: Any) -> Any:
    """Return a value of a table as a JSON value that a person can read."""
    if value is None or isinstance(value, (bool, int, str)):
        return str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return str(value)
