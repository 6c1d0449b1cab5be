"""Blocks and datasets of a job that exists only in tests; its columns have every type we use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, PartRef
from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.problems import Problem
from beamscope.transforms.storage.files import FileInfo

FEATURES = 5
ROWS = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("x_level0", pa.int64(), nullable=False),
        pa.field("tissue", pa.float32()),
        pa.field("view", pa.string()),
        pa.field("frame", pa.int32()),
        pa.field("inverted", pa.bool_(), nullable=False),
    ]
)
TABLE = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("shard", pa.int32()),
    ]
)


def paths(parts: Mapping[FileInfo, int]) -> dict[str, int]:
    """The parts of a listing by their paths alone."""
    return {part.path: rows for part, rows in parts.items()}


def layout_in(directory: Path | str) -> Layout:
    return Layout(str(directory), "p1", "0123456789abcdef")


def rows_of(item_id: str, first: int, n: int) -> pa.RecordBatch:
    """Rows `first` to ``first + n`` of an item; every third has nulls."""
    index = range(first, first + n)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([item_id] * n, pa.string()),
            pa.array([512 * i for i in index], pa.int64()),
            pa.array([None if i % 3 == 0 else i / 8 for i in index], pa.float32()),
            pa.array([None if i % 3 == 1 else f"PA é{i}" for i in index], pa.string()),
            pa.array([None if i % 3 == 2 else -i for i in index], pa.int32()),
            pa.array([i % 2 == 0 for i in index], pa.bool_()),
        ],
        schema=ROWS,
    )


def problem_of(item_id: str, row: int) -> Problem:
    return Problem(item_id, f"{item_id}.svs", "read", "unreadable_region", "no tile", 512 * row, 0)


def block_of(
    item_id: str, index: int, n: int, failed: int = 0, features: int = FEATURES
) -> EmbeddingBlock:
    """A block with numbers that float16 must round; the last `failed` of its `n` rows are lost."""
    embedded = n - failed
    random = np.random.default_rng([index, *item_id.encode()])
    return EmbeddingBlock(
        BlockKey(item_id, index),
        random.standard_normal((embedded, features), np.float32),
        rows_of(item_id, 1000 * index, embedded),
        n,
        tuple(problem_of(item_id, 1000 * index + row) for row in range(embedded, n)),
    )


def spec_in(directory: Path | str, shard_format: ShardFormat | None = None) -> DatasetSpec:
    return DatasetSpec(
        layout=layout_in(directory),
        shard_format=shard_format or ShardFormat(),
        rows=ROWS,
        features=FEATURES,
        table_name="slides",
        table=TABLE,
        metadata={"beamscope.model_digest": "9f"},
        description={"job": "slides", "options": {"mpp": 0.5}},
    )


@dataclasses.dataclass(frozen=True)
class Item:
    """An item on disk: its blocks as they were made, and its outcome."""

    blocks: tuple[EmbeddingBlock, ...]
    outcome: ItemOutcome


def item_on_disk(layout: Layout, item_id: str, *sizes: int, failed: int = 0) -> Item:
    """Writes the parts of an item with blocks of these sizes, `failed` rows lost in each."""
    blocks = tuple(block_of(item_id, i, n, min(n, failed)) for i, n in enumerate(sizes))
    refs: list[PartRef] = [write_part(layout, block) for block in blocks]
    embedded = sum(ref.embedded for ref in refs)
    status = "done" if embedded == sum(sizes) else "partial" if embedded else "failed"
    return Item(
        blocks,
        ItemOutcome(
            item_id,
            pa.RecordBatch.from_pylist(
                [{"slide_id": item_id, "status": status if sizes else "empty"}],
                TABLE.remove(TABLE.get_field_index("shard")),
            ),
            tuple(problem for block in blocks for problem in block.problems),
            tuple(ref.path for ref in refs if ref.embedded),
            embedded,
        ),
    )
