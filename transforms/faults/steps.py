"""The step: the plan of an item or one of its blocks, as what fails, crashes or hangs is named."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.blocks import BlockKey


@dataclasses.dataclass(frozen=True, order=True)
class Step:
    """Making the plan of an item, or working on one of its blocks.

    Attributes:
      item_id: of the slide or source.
      index: of the block; None for the plan.
      slot: of the lease, where several machines may take this step at a time; else empty.
    """

    item_id: str
    index: int | None = None
    slot: str = ""

    @classmethod
    def of(cls, key: BlockKey) -> Step:
        """Return the step of a block."""
        return cls(key.item_id, key.index)

    def __str__(self) -> str:
        return self.item_id if self.index is None else f"{self.item_id}[{self.index}]"
