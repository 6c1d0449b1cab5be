"""Outcomes of items: rows of the table, problems, and parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa

from beamscope.transforms.problems import Problem


@dataclasses.dataclass(frozen=True)
class ItemOutcome:
    """The outcome of a slide or a block of films. It is never split between shards.

    Attributes:
      item_id: id of the item; shards and tables are sorted by it.
      table: the item's rows of ``slides.parquet`` or ``images.parquet``, without column ``shard``.
      problems: the item's problems, in order.
      parts: paths of the item's parts, in the order of its blocks.
      rows: number of rows in the parts.
      counts: further counts; ``dataset.json`` holds their sums over all items.
    """

    item_id: str
    table: pa.RecordBatch
    problems: tuple[Problem, ...]
    parts: tuple[str, ...]
    rows: int
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FinishedItem:
    """An outcome without its table and its parts.

    Attributes:
      item_id: id of the item.
      rows: number of rows in its parts.
      problems: its problems, in order.
      counts: its further counts.
      table_rows: number of rows in its table.
    """

    item_id: str
    rows: int
    problems: tuple[Problem, ...]
    counts: Mapping[str, int]
    table_rows: int


@dataclasses.dataclass(frozen=True)
class JoinedOutcomes:
    """Several outcomes with one table: a table of one row is a hundred times larger than the row.

    Attributes:
      items: the items, in any order.
      table: their rows, in the order of `items`.
    """

    items: tuple[FinishedItem, ...]
    table: pa.RecordBatch


def join_outcomes(outcomes: Sequence[ItemOutcome]) -> JoinedOutcomes:
    """Join one or more outcomes for the end of a job, without their parts."""
    return JoinedOutcomes(
        tuple(
            FinishedItem(one.item_id, one.rows, one.problems, dict(one.counts), one.table.num_rows)
            for one in outcomes
        ),
        pa.concat_batches([one.table for one in outcomes]),
    )
