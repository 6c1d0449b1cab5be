"""What became of an item: its rows of the table, its problems, and its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa

from beamscope.transforms.problems import Problem


@dataclasses.dataclass(frozen=True)
class ItemOutcome:
    """One item, finished: a slide, or a block of films. It is never split between shards.

    Attributes:
      item_id: which; shards and tables follow the order of these.
      table: its rows of ``slides.parquet`` or ``images.parquet``, all columns but ``shard``.
      problems: everything that went wrong with it, in order.
      parts: the paths of its parts, in the order of blocks.
      rows: how many rows they hold.
      counts: whatever else is worth counting, added up over all items in ``dataset.json``.
    """

    item_id: str
    table: pa.RecordBatch
    problems: tuple[Problem, ...]
    parts: tuple[str, ...]
    rows: int
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FinishedItem:
    """What is left of an outcome when its table and its parts have been taken from it.

    Attributes:
      item_id: which.
      rows: how many rows its parts hold.
      problems: everything that went wrong with it, in order.
      counts: whatever else is worth counting.
      table_rows: how many rows its table had.
    """

    item_id: str
    rows: int
    problems: tuple[Problem, ...]
    counts: Mapping[str, int]
    table_rows: int


@dataclasses.dataclass(frozen=True)
class JoinedOutcomes:
    """Several outcomes, their tables one: a table of one row weighs a hundred times its row.

    Attributes:
      items: in any order.
      table: the rows of each, in the order of the items.
    """

    items: tuple[FinishedItem, ...]
    table: pa.RecordBatch


def join_outcomes(outcomes: Sequence[ItemOutcome]) -> JoinedOutcomes:
    """Joins outcomes, at least one, for the end of a job; their parts are left out."""
    return JoinedOutcomes(
        tuple(
            FinishedItem(one.item_id, one.rows, one.problems, dict(one.counts), one.table.num_rows)
            for one in outcomes
        ),
        pa.concat_batches([one.table for one in outcomes]),
    )
