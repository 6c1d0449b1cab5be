"""The dataset that a slide job writes: its columns and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.slides.extra_columns import slide_columns
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA
from beamscope.transforms.slides.requests import SlideRequest


def slide_dataset(
    layout: Layout,
    features: int,
    shard_format: ShardFormat | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    description: Mapping[str, Any] | None = None,
    slides: Sequence[SlideRequest] = (),
) -> DatasetSpec:
    """Return the dataset of the embeddings of slides, as `AssembleDataset` writes it.

    Args:
      layout: where everything lies.
      features: length of an embedding.
      shard_format: files, their number and dtype; Parquet in float32 by default.
      metadata: written into each shard.
      description: added to ``dataset.json``, such as options and model.
      slides: the slides, for the further columns of their manifest.
    """
    return DatasetSpec(
        layout=layout,
        shard_format=shard_format or ShardFormat(),
        rows=ROW_SCHEMA,
        features=features,
        table_name="slides",
        table=TABLE_SCHEMA,
        metadata=metadata or {},
        description=description or {},
        extend_table=slide_columns(slides),
    )
