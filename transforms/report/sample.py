"""Samples of a dataset, spread over all of it, so that a report of a million rows stays quick."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from beamscope.transforms.dataset.dataset import Dataset

# Of a dataset with few and large row groups, a part of several is better than one as a whole.
_FEWEST_GROUPS = 32


def sampled_tables(
    dataset: Dataset, rows: int, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Yield row groups that are spread evenly over the shards, until there are so many rows.

    Args:
      dataset: a finished dataset.
      rows: about how many rows; all if there are not more.
      columns: names of columns; None for all.
    """
    wanted = list(dataset.columns if columns is None else columns)
    places = [(shard, group) for shard in dataset.shards for group in range(shard.groups)]
    if not places:
        return
    share = min(1.0, rows / max(1, len(dataset)))
    count = max(min(len(places), _FEWEST_GROUPS), round(len(places) * share))
    chosen = np.unique(np.linspace(0, len(places) - 1, count).round().astype(int))
    # A few large groups would be more rows than wanted: of each, a part.
    per_group = max(1, -(-rows // len(chosen)))
    for place in chosen:
        shard, group = places[place]
        table = shard.read([group], wanted)
        if table.num_rows > per_group:
            table = table.take(np.linspace(0, table.num_rows - 1, per_group).round().astype(int))
        yield table


def spread(count: int, of: int) -> list[int]:
    """Return at most so many places out of `of`, in order, the first and the last among them."""
    if of <= count:
        return list(range(of))
    return sorted({round(place) for place in np.linspace(0, of - 1, count)})
