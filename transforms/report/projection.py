"""The points of a projection: the first two components of sampled rows, and their labels."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beamscope.transforms.report.components import Components

# More values than colours cannot be told apart; the rest counts as one.
_MOST_VALUES = 14
_OTHERS = "other values"


def points_of(
    components: Components, embeddings: Sequence[Any], labels: Mapping[str, Sequence[str | None]]
) -> dict[str, Any]:
    """Return the points as JSON values.

    Args:
      components: of the dataset.
      embeddings: batches ``[n, D]`` of sampled rows.
      labels: for each column, the text of each of these rows; None where it has none.
    """
    projected = np.concatenate([components.project(batch) for batch in embeddings])
    return {
        "x": [round(float(x), 4) for x in projected[:, 0]],
        "y": [round(float(y), 4) for y in projected[:, 1]],
        "labels": {name: coded(values) for name, values in labels.items()},
    }


def coded(values: Sequence[str | None]) -> dict[str, list[Any]]:
    """Return texts as places in a list of the most common ones; -1 for none."""
    common = [text for text, _ in collections.Counter(
        value for value in values if value is not None
    ).most_common()]  # fmt: skip
    shown = sorted(common) if len(common) <= _MOST_VALUES else common[: _MOST_VALUES - 1]
    if len(common) > len(shown):
        shown = [*shown, _OTHERS]
    place = {text: index for index, text in enumerate(shown)}
    last = len(shown) - 1
    return {
        "values": shown,
        "index": [-1 if value is None else place.get(value, last) for value in values],
    }


def label_columns(rows: pa.Table, items: pa.Table, preferred: str | None) -> dict[str, list[Any]]:
    """Return the columns of sampled rows that can colour them, the most telling first.

    A column can if it has at least two values, and not one for nearly every row.

    Args:
      rows: sampled rows of the dataset, without embeddings.
      items: the table of items, whose first column is the id, as in `rows`.
      preferred: the column to put first; None for none.
    """
    ids = rows.column(0).to_pylist()
    columns: dict[str, list[Any]] = {}
    for name in rows.column_names:
        kind = rows.schema.field(name).type
        if pa.types.is_map(kind) and name == "labels":
            columns |= _findings(rows[name].to_pylist())
        elif pa.types.is_string(kind) or pa.types.is_boolean(kind):
            columns[name] = rows[name].to_pylist()
    place = {item_id: index for index, item_id in enumerate(items.column(0).to_pylist())}
    for name in items.column_names[1:]:
        kind = items.schema.field(name).type
        if name in columns or not (
            pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)
        ):
            continue
        values = items[name].to_pylist()
        columns[name] = [values[place[one]] if one in place else None for one in ids]
    telling = {}
    for name, values in columns.items():
        texts = [None if value is None else str(value) for value in values]
        kinds = len(set(texts))
        if name == preferred or 2 <= kinds <= max(_MOST_VALUES, len(texts) // 20):
            telling[name] = texts
    first = [
        name for name in (preferred, "label", "class", rows.column_names[0]) if name in telling
    ]
    order = [*dict.fromkeys(first), *(name for name in telling if name not in first)]
    return {name: telling[name] for name in order}


def _findings(labels: Sequence[Any]) -> dict[str, list[Any]]:
    """Return a column for each finding of a catalogue: present, absent or uncertain."""
    words = {1.0: "present", 0.0: "absent", -1.0: "uncertain"}
    known = [dict(row) if row else {} for row in labels]
    names = dict.fromkeys(name for row in known for name in row)
    return {
        f"finding: {name}": [
            words.get(row[name], str(row[name])) if name in row and row[name] is not None else None
            for row in known
        ]
        for name in names
    }
