"""The dataset that an X-ray job writes: its columns and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA, TABLE_SCHEMA


def film_dataset(
    layout: Layout,
    features: int,
    shard_format: ShardFormat | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    description: Mapping[str, Any] | None = None,
) -> DatasetSpec:
    """Return the dataset of the embeddings of films, as `AssembleDataset` writes it.

    Args:
      layout: where everything lies.
      features: length of an embedding.
      shard_format: files, their number and dtype; Parquet in float32 by default.
      metadata: written into each shard.
      description: added to ``dataset.json``, such as options and model.
    """
    return DatasetSpec(
        layout=layout,
        shard_format=shard_format or ShardFormat(),
        rows=FILM_SCHEMA,
        features=features,
        table_name="images",
        table=TABLE_SCHEMA,
        metadata=metadata or {},
        description=description or {},
        problems=PROBLEMS_SCHEMA,
    )
