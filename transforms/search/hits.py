"""The rows of hits as a table."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import pyarrow as pa

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.search.nearest import Hit


def hit_table(dataset: Dataset, hits: Sequence[Hit]) -> pa.Table:
    """Return rank, cosine and the columns of each hit but its embedding, in the order of hits.

    The hits of slides also have the ``uri`` of their slide.

    Raises:
      InputError: ``unreadable_dataset``.
    """
    columns = [name for name in dataset.columns if name not in dataset.embedding_columns]
    by_group: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    for rank, hit in enumerate(hits):
        by_group[hit.shard, hit.group].append(rank)
    found: list[pa.Table] = []
    ranks: list[int] = []
    for (shard, group), places in by_group.items():
        table = dataset.shards[shard].read([group], columns)
        found.append(table.take([hits[place].row for place in places]))
        ranks.extend(places)
    if not found:
        schema = dataset.shards[0].schema
        return pa.schema([
            pa.field("rank", pa.int64()), pa.field("cosine", pa.float32()),
            *(schema.field(name) for name in columns),
        ]).empty_table()  # fmt: skip
    rows = pa.concat_tables(found)
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    rows = rows.take(order)
    cosines = pa.array([hit.cosine for hit in hits], pa.float32())
    rows = rows.add_column(0, "cosine", cosines)
    rows = rows.add_column(0, "rank", pa.array(range(1, len(hits) + 1), pa.int64()))
    if "uri" in dataset.items.column_names:
        uris = dict(zip(dataset.items.column(0).to_pylist(), dataset.items["uri"].to_pylist(),
                        strict=True))  # fmt: skip
        rows = rows.append_column(
            "uri", pa.array([uris[item] for item in rows[dataset.id_column].to_pylist()])
        )
    return rows
