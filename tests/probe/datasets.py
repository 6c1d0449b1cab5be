"""Finished datasets and cohorts, made of arrays, without a job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.probe.target import Target
from beamscope.transforms.probe.units import Units


def write_dataset(
    root: Path,
    rows: Mapping[str, pa.Array],
    embeddings: np.ndarray,
    *,
    shards: int = 1,
    items: Mapping[str, pa.Array] | None = None,
    more: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Write a dataset as a job leaves it: shards, the table of items, dataset.json.

    Args:
      root: directory to write.
      rows: columns other than embeddings.
      embeddings: ``[n, D]``.
      shards: number of shards; rows are cut into equal parts.
      items: the table of slides or images.
      more: further columns of embeddings.
    """
    batch = pa.RecordBatch.from_pydict(dict(rows))
    batch = to_record_batch(
        batch,
        np.asarray(embeddings, np.float32),
        embedding_schema(batch.schema, embeddings.shape[1]),
    )
    table = pa.Table.from_batches([batch])
    for name, values in (more or {}).items():
        flat = pa.array(np.asarray(values, np.float32).reshape(-1))
        table = table.append_column(name, pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
    (root / "embeddings").mkdir(parents=True)
    names = []
    for index, places in enumerate(np.array_split(np.arange(len(table)), shards)):
        names.append(f"embeddings/embeddings-{index:05d}-of-{shards:05d}.parquet")
        pq.write_table(table.take(pa.array(places)), root / names[-1], row_group_size=64)
    kind = "slides" if "slide_id" in rows else "images"
    key = "slide_id" if "slide_id" in rows else "image_id"
    listed = dict(items) if items else {key: pa.array(sorted(set(rows[key].to_pylist())))}
    if "shard" not in listed:
        listed["shard"] = pa.array([0] * len(listed[key]), pa.int32())
    pq.write_table(pa.table(listed), root / f"{kind}.parquet")
    description = {
        "complete": True,
        "finished": "2026-11-30T12:00:00+00:00",
        "counts": {"rows": len(table), kind: {"done": len(listed[key])}},
        "shards": [{"files": [name]} for name in names],
        "schema": {field.name: str(field.type) for field in table.schema},
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return str(root)


def write_films(root: Path, names: Sequence[str], embeddings: np.ndarray, **more) -> str:
    """Write a dataset of films or images, a row each."""
    rows = {
        "image_id": pa.array([f"films/{name}" for name in names]),
        "member": pa.array(list(names)),
    }
    return write_dataset(root, rows, embeddings, **more)


def write_slides(root: Path, slides: Mapping[str, np.ndarray], **more) -> str:
    """Write a dataset of slides: the embeddings of the patches of each, on a row of a grid."""
    rows = {
        "slide_id": pa.array([name for name, patches in slides.items() for _ in patches]),
        "x_level0": pa.array([224 * x for patches in slides.values() for x in range(len(patches))],
                             pa.int32()),
        "y_level0": pa.array([0 for patches in slides.values() for _ in patches], pa.int32()),
    }  # fmt: skip
    return write_dataset(root, rows, np.concatenate(list(slides.values())), **more)


def units_of(target: Target, groups: Sequence[int] | None = None) -> Units:
    """Units called u0, u1, …, each its own patient unless `groups` says more."""
    numbers = np.arange(len(target)) if groups is None else np.asarray(groups)
    return Units(
        tuple(f"u{place}" for place in range(len(target))),
        target,
        numbers.astype(np.int64),
        tuple(f"p{number}" for number in numbers),
    )


def classes_of(labels: Sequence[int], classes: int = 2) -> Target:
    values = np.asarray(labels, np.float64).reshape(-1, 1)
    return Target("classification", values, tuple(f"c{place}" for place in range(classes)))


def blobs(
    patients: int, of_each: int = 3, features: int = 8, shift: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, Units]:
    """Vectors of two classes, alike within a patient; the classes differ by `shift`."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), of_each)
    labels = groups % 2
    own = random.normal(size=(patients, features))[groups]
    vectors = own + 0.5 * random.normal(size=(len(groups), features)) + shift * labels[:, None]
    return vectors.astype(np.float32), units_of(classes_of(labels), groups)
