"""What the plan of an item says about it, whatever the job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class PlannedItem:
    """A planned slide or source.

    Attributes:
      item_id: of the item.
      uri: of its file.
      rows: number of planned patches or films; None if only reading the item tells.
      blocks: number of blocks; None likewise.
      failed: whether the item failed as a whole.
      kind: kind of its first problem; None without one.
      message: of that problem, or why there is nothing to embed; None without either.
      funnel: where the candidates went, by step, in the order of the steps; empty if the job has
        no candidates.
      poor: how many of the patches with enough tissue are of poor quality, by reason.
      stored_bytes: size of the item; None where it is not known.
      read_bytes: about how much of it the job reads; None likewise.
    """

    item_id: str
    uri: str
    rows: int | None = 0
    blocks: int | None = 0
    failed: bool = False
    kind: str | None = None
    message: str | None = None
    funnel: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poor: Mapping[str, int] = dataclasses.field(default_factory=dict)
    stored_bytes: int | None = None
    read_bytes: int | None = None
