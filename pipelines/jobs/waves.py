"""Divide the items of a job into waves: while one is planned, the one before is embedded.

A block is spread over workers when all items are planned that are spread with it: 29,018 slides
would be planned for hours before the first patch is embedded, and before a model or a machine that
does not serve shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

# Each wave is three times as large as all before it together, which are embedded while it is
# planned: to embed a slide takes ten times as long as to plan it, or more, on a CPU.
MOST_WAVES = 6
_GROWTH = 4
# Fewer are planned soon, and a wave should keep all cores of a machine busy.
FEWEST_DIVIDED = 32


def in_waves(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Return items in waves, each in the order given: a small one first, the largest last.

    There is one wave of few items, and of none.
    """
    ends = [len(items)]
    while ends[0] >= FEWEST_DIVIDED and len(ends) < MOST_WAVES:
        ends.insert(0, max(1, ends[0] // _GROWTH))
    return [items[start:end] for start, end in zip([0, *ends], ends, strict=False)]
