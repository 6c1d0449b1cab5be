"""What became of one item: its rows of the table, its problems, and its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pyarrow as pa

from transforms.problems import Problem


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
