"""Join a table of labels with the slides or films of a dataset."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.dataset.table_file import read_table
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_EXAMPLES = 3
# Joined columns whose name the dataset has too get this ending.
_SUFFIX = "_right"


def join_labels(
    items: pa.Table,
    noun: str,
    source: Any,
    on: str,
    key: Callable[[str], str] | None = None,
) -> pa.Table:
    """Return the items with the columns of a table of labels, in the order of the items.

    Args:
      items: the table of slides or films; its first column is the id.
      noun: what an item is, for messages.
      source: see `read_table`.
      on: the column that both have; with `key`, the column of the labels alone.
      key: function from the id of an item to its value of `on`.

    Returns:
      a row for every item; the labels are null where there are none.

    Raises:
      InputError: ``bad_table``: a column is missing, one value of `on` has several rows, or no row
        belongs to any item.
    """
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else "the table"
    labels = read_table(source, text=(on,))
    require_column(labels, on, name)
    if key is not None:
        keys = pa.array([key(text) for text in items.column(0).to_pylist()], pa.string())
    else:
        if on not in items.column_names:
            raise InputError(
                Kind.BAD_TABLE,
                f"on={on!r}: the dataset's table has no such column; it has "
                f"{', '.join(items.column_names)}. Give key= to derive it from the id of a {noun}",
            )
        keys = items[on].cast(pa.string()).combine_chunks()
    wanted = labels[on].cast(pa.string()).combine_chunks()
    _refuse_duplicates(wanted, on, name)
    rows = pc.index_in(keys, value_set=pc.drop_null(wanted))
    if wanted.null_count:
        labels = labels.filter(wanted.is_valid())
    _tell_unmatched(items, keys, rows, labels, noun, on, name)
    joined = items
    for column in labels.column_names:
        if column != on:
            taken = column + _SUFFIX if column in items.column_names else column
            joined = joined.append_column(taken, labels[column].take(rows))
    return joined if on in items.column_names else joined.append_column(on, keys)


def require_column(table: pa.Table, column: str, name: str) -> None:
    """Refuse a table without a column.

    Raises:
      InputError: ``bad_table``; the message has the most similar name.
    """
    if column not in table.column_names:
        raise InputError(
            Kind.BAD_TABLE,
            f"{name}: has no column {column!r}{suggestion(column, table.column_names)}; it has "
            f"{', '.join(table.column_names)}",
        )


def label_of(labels: pa.Table | Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return the label of each item that has one.

    Args:
      labels: what `join_labels` returned, or labels by id.
      label: the column of labels; not used for a mapping.
    """
    if isinstance(labels, Mapping):
        pairs: Iterable[tuple[str, Any]] = labels.items()
    else:
        require_column(labels, label, "the table of labels")
        pairs = zip(labels.column(0).to_pylist(), labels[label].to_pylist(), strict=True)
    return {item_id: value for item_id, value in pairs if value is not None}


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" where a known word is similar, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _refuse_duplicates(keys: pa.Array, on: str, name: str) -> None:
    for value in keys.value_counts().to_pylist():
        if value["counts"] > 1 and value["values"] is not None:
            raise InputError(
                Kind.BAD_TABLE, f"{name}: {value['counts']} rows have {on} {value['values']!r}"
            )


def _tell_unmatched(
    items: pa.Table, keys: pa.Array, rows: pa.Array, labels: pa.Table, noun: str, on: str, name: str
) -> None:
    missing = items.column(0).filter(pc.is_null(rows)).to_pylist()
    if items.num_rows and len(missing) == items.num_rows:
        raise InputError(
            Kind.BAD_TABLE,
            f"{name}: no row belongs to any {noun}. Its {on} is like "
            f"{_few(labels[on].to_pylist())}, and that of the dataset is like "
            f"{_few(keys.to_pylist())}",
        )
    if missing:
        warnings.warn(
            f"{name}: {len(missing):,} of {items.num_rows:,} {noun}s have no row: {_few(missing)}",
            stacklevel=4,
        )


def _few(values: list[Any]) -> str:
    shown = ", ".join(map(repr, values[:_EXAMPLES]))
    return f"{shown}, …" if len(values) > _EXAMPLES else shown or "nothing"
