"""Datasets of slides and films, written as jobs write them, of embeddings that a test knows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock
from beamscope.transforms.output.dataset import DatasetSpec, ShardRef, finish_dataset
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome, join_outcomes
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.shards import ShardFormat, cut_shards, write_shard
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.dataset import slide_dataset
from beamscope.transforms.xrays.dataset import film_dataset

FEATURES = 4
SIDE = 256
BLOCK = 500


def embeddings_of(item_id: str, rows: int, features: int = FEATURES) -> npt.NDArray[np.float32]:
    """The embeddings of an item, in the order of its rows."""
    random = np.random.default_rng([*item_id.encode()])
    return random.standard_normal((rows, features), np.float32)


def coordinates_of(rows: int) -> npt.NDArray[np.int32]:
    """A grid ten patches wide."""
    index = np.arange(rows, dtype=np.int32)
    return np.stack([index % 10 * SIDE, index // 10 * SIDE], axis=1)


def write_slides(
    root: Path | str,
    sizes: Mapping[str, int],
    num_shards: int = 1,
    shard_format: ShardFormat | None = None,
    features: int = FEATURES,
) -> str:
    """Writes slides of so many patches each, those with none as failed; returns the directory."""
    shard_format = shard_format or ShardFormat()
    spec = slide_dataset(
        Layout(str(root), "p1", "f1"),
        features,
        dataclasses.replace(shard_format, num_shards=num_shards),
        metadata={"beamscope.model_digest": "9f", "beamscope.fingerprint": "f1"},
        description={
            "job": "slides",
            "options": {"mpp": 0.5, "patch_px": 224, "stride_px": 112},
            "model": {"name": "some-model", "digest": "9f", "features": features},
        },
    )
    return _write(spec, [_slide(spec, slide_id, rows) for slide_id, rows in sizes.items()])


def _slide(spec: DatasetSpec, slide_id: str, rows: int) -> ItemOutcome:
    coordinates = coordinates_of(rows)
    columns = pa.RecordBatch.from_arrays(
        [
            pa.array([slide_id] * rows, pa.string()),
            pa.array(coordinates[:, 0]),
            pa.array(coordinates[:, 1]),
            pa.array(np.full(rows, SIDE, np.int32)),
            pa.array(np.full(rows, 0.5, np.float32)),
            pa.array(np.linspace(0.25, 1, rows, dtype=np.float32)),
            pa.array(["tumour" if row % 3 == 0 else None for row in range(rows)], pa.string()),
        ],
        schema=spec.rows,
    )
    row = {
        "slide_id": slide_id, "uri": f"/slides/{slide_id}.svs",
        "status": "done" if rows else "failed",
        "reason": None if rows else "missing_mpp: the slide does not state its resolution",
        "width_level0": 10 * SIDE, "height_level0": -(-rows // 10) * SIDE, "mpp_x": 0.25,
        "mpp_y": 0.25, "level": 1, "downsample": 2.0, "read_px": SIDE // 2,
        "mpp_requested": 0.5, "mpp_level": 0.5, "mpp_effective": 0.5, "patches_planned": rows,
        "patches_embedded": rows, "patches_failed": 0,
    }  # fmt: skip
    problems = () if rows else (Problem(slide_id, row["uri"], "plan", "missing_mpp", "no mpp"),)
    return _outcome(spec, slide_id, [row], columns, embeddings_of(slide_id, rows, spec.features),
                    problems)  # fmt: skip


def write_films(root: Path | str, sources: Mapping[str, Sequence[str]], num_shards: int = 1) -> str:
    """Writes films, one item a source, those whose names end in ``!`` as failed."""
    spec = film_dataset(
        Layout(str(root), "p1", "f1"),
        FEATURES,
        ShardFormat(num_shards=num_shards),
        description={"job": "xrays", "options": {}, "model": {"name": "cxr", "digest": "9f"}},
    )
    return _write(spec, [_films(spec, source, names) for source, names in sources.items()])


def _films(spec: DatasetSpec, source: str, names: Sequence[str]) -> ItemOutcome:
    rows = [
        {
            "image_id": name, "source": source, "member": f"{name}.png", "width": 64, "height": 48,
            "origin": "png", "view_position": "PA", "patient_id": name[:2], "in_catalog": True,
            "labels": [("Edema", 1.0)], "catalog": None, "dicom_tags": None,
        }
        for name in names if not name.endswith("!")
    ]  # fmt: skip
    table = [
        {
            "image_id": name, "source": source, "member": f"{name}.png",
            "status": "failed" if name.endswith("!") else "done",
            "reason": "corrupt_image: cut off" if name.endswith("!") else None,
            "patient_id": name[:2], "in_catalog": True,
        }
        for name in names
    ]  # fmt: skip
    columns = pa.RecordBatch.from_pylist(rows, spec.rows)
    return _outcome(spec, source, table, columns, embeddings_of(source, len(rows)), ())


def read_json(root: Path | str) -> dict[str, Any]:
    """The content of ``dataset.json`` but for its own checksum."""
    description: dict[str, Any] = json.loads((Path(root) / "dataset.json").read_text())
    description.pop("crc32c")
    return description


def write_json(root: Path | str, description: Mapping[str, Any]) -> None:
    """Writes ``dataset.json`` without a checksum, as version 0.2 did."""
    (Path(root) / "dataset.json").write_text(json.dumps(description))


def _outcome(
    spec: DatasetSpec,
    item_id: str,
    table: list[dict[str, object]],
    columns: pa.RecordBatch,
    embeddings: npt.NDArray[np.float32],
    problems: tuple[Problem, ...],
) -> ItemOutcome:
    paths = []
    for index, start in enumerate(range(0, len(embeddings), BLOCK)):
        some = embeddings[start : start + BLOCK]
        rows = columns.slice(start, len(some))
        block = EmbeddingBlock(BlockKey(item_id, index), some, rows, len(some), ())
        paths.append(write_part(spec.layout, block).path)
    schema = spec.table.remove(spec.table.get_field_index("shard"))
    return ItemOutcome(
        item_id, pa.RecordBatch.from_pylist(table, schema), problems, tuple(paths), len(embeddings)
    )


def _write(spec: DatasetSpec, outcomes: Sequence[ItemOutcome]) -> str:
    count = spec.shard_format.count(0)
    shard_of = cut_shards([(one.item_id, one.rows) for one in outcomes], count)
    shards = []
    for index in range(count):
        parts = [
            path
            for one in sorted(outcomes, key=lambda one: one.item_id)
            if shard_of.get(one.item_id) == index
            for path in one.parts
        ]
        rows, sums = write_shard(spec.layout, index, count, parts, spec.rows, spec.features,
                                 spec.shard_format, dict(spec.metadata))  # fmt: skip
        shards.append(ShardRef(index, rows, tuple(sums)))
    finish_dataset(spec, [join_outcomes(outcomes)], shard_of, shards)
    return str(spec.layout.root)
