"""Rows of a dataset, out of tables that follow each other: in batches, or by their items."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa


def batches_of(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the rows of tables in batches of `rows`; the last one may be smaller."""
    waiting: list[pa.Table] = []
    ready = 0
    for table in tables:
        waiting.append(table)
        ready += table.num_rows
        if ready >= rows:
            joined = pa.concat_tables(waiting)
            whole = ready - ready % rows
            yield from (joined.slice(start, rows) for start in range(0, whole, rows))
            waiting, ready = [joined.slice(whole)], ready - whole
    if ready:
        yield pa.concat_tables(waiting)


def by_item(tables: Iterable[pa.Table], column: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield each item's id and all of its rows, which lie together.

    Args:
      tables: all rows; one table, and the rows of one item, are in memory.
      column: of the ids.
    """
    waiting: list[pa.Table] = []
    current = None
    for table in tables:
        for item_id, rows in _runs(table, column):
            if item_id != current and waiting:
                yield str(current), pa.concat_tables(waiting)
                waiting = []
            waiting.append(rows)
            current = item_id
    if waiting:
        yield str(current), pa.concat_tables(waiting)


def rows_of(table: pa.Table, column: str, value: str) -> pa.Table:
    """Return the rows with a value; without a copy where they lie together."""
    matches = np.flatnonzero(table[column].to_numpy() == value)
    if not len(matches):
        return table.slice(0, 0)
    first, last = int(matches[0]), int(matches[-1])
    if last - first + 1 == len(matches):
        return table.slice(first, len(matches))
    return table.take(matches)


def _runs(table: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield each run of equal values in a column, with its rows."""
    values = table[column].to_numpy()
    if not len(values):
        return
    starts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    for start, end in itertools.pairwise(starts):
        yield values[start], table.slice(start, end - start)
