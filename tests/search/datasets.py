"""Small datasets of known vectors, written as a job writes them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.formats.parquet import ParquetShardWriter
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA

SIDE = 100


def rows_of(ids):
    """A row of 10 patches for each slide."""
    place = np.arange(len(ids), dtype=np.int32)
    seen: dict[str, int] = {}
    xs = [seen.setdefault(one, 0) for one in ids]
    for number, one in enumerate(ids):
        xs[number] = seen[one] * SIDE
        seen[one] += 1
    ones = np.ones(len(ids), np.float32)
    return pa.RecordBatch.from_arrays(
        [pa.array(ids), pa.array(xs, pa.int32()), pa.array(np.zeros_like(place)),
         pa.array(np.full_like(place, SIDE)), pa.array(ones), pa.array(ones),
         pa.nulls(len(ids), pa.string())],
        schema=ROW_SCHEMA,
    )  # fmt: skip


def write_dataset(root, vectors, *, shards=2, group=7, dtype="float32", ids=None):
    """Write vectors as shards, in row groups; every fifth row begins another slide."""
    (root / "embeddings").mkdir(parents=True)
    vectors = np.asarray(vectors, np.float32)
    ids = ids or [f"s{row // 5:03d}" for row in range(len(vectors))]
    rows = rows_of(ids)
    schema = embedding_schema(ROW_SCHEMA, vectors.shape[1], dtype)
    described, shard_of = [], {}
    for index, part in enumerate(np.array_split(np.arange(len(vectors)), shards)):
        name = f"embeddings/embeddings-{index:05d}-of-{shards:05d}.parquet"
        writer = ParquetShardWriter(root / name, schema)
        for start in range(0, len(part), group):
            mine = part[start : start + group]
            writer.write(to_record_batch(rows.take(pa.array(mine)), vectors[mine], schema))
        writer.close()
        described.append({"files": [name], "rows": len(part)})
        for row in part:
            shard_of.setdefault(ids[row], index)
    names = sorted(shard_of)
    table = pa.table({
        "slide_id": names, "uri": [f"/gone/{name}.svs" for name in names],
        "status": ["done"] * len(names), "reason": pa.nulls(len(names), pa.string()),
        "shard": pa.array([shard_of[name] for name in names], pa.int32()),
    })  # fmt: skip
    pq.write_table(table, root / "slides.parquet")
    description = {
        "job": "slides",
        "counts": {"rows": len(vectors), "slides": {"done": len(names)}},
        "schema": {field.name: str(field.type) for field in schema},
        "shards": described,
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return str(root)
