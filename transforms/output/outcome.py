"""What became of one item (a slide): the row of its table, its problems, and its parts."""

from __future__ import annotations

import dataclasses
from typing import Any

from transforms.problems import Problem


@dataclasses.dataclass(frozen=True)
class ItemOutcome:
    """One item, finished.

    Attributes:
      item_id: which.
      row: of the item table, by column; ``shard`` is filled in when it is known.
      problems: everything that went wrong with it, in order.
      parts: the paths of its parts, in the order of blocks.
      rows: how many rows they hold.
    """

    item_id: str
    row: dict[str, Any]
    problems: tuple[Problem, ...]
    parts: tuple[str, ...]
    rows: int
