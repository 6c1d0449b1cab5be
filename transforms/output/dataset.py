"""Finish a dataset: write its tables and, last, the description that marks it as complete."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beamscope.transforms.formats.parquet import table_bytes
from beamscope.transforms.formats.registry import FORMATS, sidecar_names
from beamscope.transforms.output.checked_json import read_json, write_json
from beamscope.transforms.output.file_sums import FileSum, sum_of_bytes, sums_to_json
from beamscope.transforms.output.layout import Layout, shard_name
from beamscope.transforms.output.leases.held import check_lease
from beamscope.transforms.output.leases.lease_file import LeaseKey
from beamscope.transforms.output.outcome import FinishedItem, JoinedOutcomes
from beamscope.transforms.output.provenance import read_worker_records
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA, FeatureLengths, embedding_schema
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.output.shards import ShardFormat, content_of, delete_shards
from beamscope.transforms.problems import Problem
from beamscope.transforms.storage import files


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """The form of a dataset.

    Attributes:
      layout: paths of the dataset.
      shard_format: file formats, number of shards and dtype.
      rows: the job's own columns of the embeddings.
      features: length of an embedding; 0 for rows of encoded images; by column of several models.
      table_name: ``slides`` or ``images``.
      table: schema of that table; its last column is ``shard``.
      metadata: metadata of each shard: model digest, fingerprint, version.
      description: the job's own part of ``dataset.json``: options, model, versions.
      problems: schema of the table of problems.
      left_out: number of files that were found and not taken, by kind of file.
      lease: of the job on the output; None where it has none.
      count_table: function that returns more counts of the finished table; None for no more.
      extend_table: function that adds the user's own columns to the finished table, behind
        ``shard``; None for none.
    """

    layout: Layout
    shard_format: ShardFormat
    rows: pa.Schema
    features: FeatureLengths
    table_name: str
    table: pa.Schema
    metadata: Mapping[str, str]
    description: Mapping[str, Any]
    problems: pa.Schema = PROBLEMS_SCHEMA
    count_table: Callable[[pa.Table], Mapping[str, int]] | None = None
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lease: LeaseKey | None = None
    extend_table: Callable[[pa.Table], pa.Table] | None = None


@dataclasses.dataclass(frozen=True, order=True)
class ShardRef:
    """A written shard: its index, its number of rows, and the sums of its files."""

    index: int
    rows: int
    sums: tuple[FileSum, ...] = ()


def finish_dataset(
    spec: DatasetSpec,
    outcomes: Iterable[JoinedOutcomes],
    shard_of: Mapping[str, int],
    shards: Sequence[ShardRef],
) -> dict[str, Any]:
    """Write the tables, delete shards of earlier assemblies, and write the description.

    Args:
      spec: the form of the dataset.
      outcomes: outcomes of all requested items.
      shard_of: index of the shard of each item with rows.
      shards: all shards.

    Returns:
      the description, as written.

    Raises:
      ValueError: the numbers of rows in the shards and in the outcomes differ.
    """
    items, rows = _in_order(spec, outcomes)
    _check_rows(items, shard_of, shards)
    problems = [problem for item in items for problem in item.problems]
    table = _item_table(spec, items, rows, shard_of)
    if spec.extend_table is not None:
        table = spec.extend_table(table)
    contents = {
        spec.layout.table(spec.table_name): table_bytes(table),
        spec.layout.problems: table_bytes(problems_table(problems, spec.problems)),
        **_sidecars(spec, embedding_schema(spec.rows, spec.features, spec.shard_format.dtype)),
    }
    for path, content in contents.items():
        files.write_bytes(path, content)

    _delete_stale_pictures(spec.layout, items)
    names = _shard_names(spec, shards)
    current = frozenset(name for shard in names for name in shard["files"])
    delete_shards(spec.layout.root, keep=current)
    schema = embedding_schema(spec.rows, spec.features, spec.shard_format.dtype)
    _delete_stale_sidecars(spec.layout, contents)
    sums = [one for shard in shards for one in shard.sums]
    sums += [sum_of_bytes(spec.layout.relative(path), data) for path, data in contents.items()]
    description = {
        "complete": True,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **spec.description,
        "workers": read_worker_records(spec.layout),
        "fingerprint": spec.layout.fingerprint,
        "counts": {
            "rows": sum(shard.rows for shard in shards),
            spec.table_name: dict(collections.Counter(table["status"].to_pylist())),
            **{f"left_out_{what}": number for what, number in spec.left_out.items()},
            **_added_up(item.counts for item in items),
            **(spec.count_table(table) if spec.count_table else {}),
            "problems": dict(collections.Counter(problem.kind for problem in problems)),
        },
        "shards": names,
        "files": sums_to_json(sums),
        "schema": {field.name: str(field.type) for field in schema},
    }
    # Whoever was suspended must not finish what another has begun meanwhile.
    check_lease(spec.lease)
    write_json(spec.layout.description, description)
    return description


def problems_table(problems: Sequence[Problem], schema: pa.Schema = PROBLEMS_SCHEMA) -> pa.Table:
    """Return the table of problems, one row each."""
    return pa.Table.from_pylist([dataclasses.asdict(problem) for problem in problems], schema)


def read_description(root: str) -> dict[str, Any] | None:
    """Return the description of a dataset; None if it has none and so is not complete.

    A description that is damaged counts as none (`find_description`).
    """
    try:
        return find_description(root)
    except DamagedError:
        return None


def find_description(root: str) -> dict[str, Any] | None:
    """Return the description of a dataset; None if it has none and so is not complete.

    Raises:
      DamagedError: it is not what was written.
    """
    path = files.join(root, "dataset.json")
    description = read_json(path)
    if description is not None and not {"counts", "shards"} <= description.keys():
        raise DamagedError(path, "it is not the description of a dataset")
    return description


def model_of(description: Mapping[str, Any], column: str) -> dict[str, Any]:
    """Return the model of a column of embeddings, from a description; empty if it names none."""
    models = description.get("models") or ()
    found: dict[str, Any] = next(
        (one for one in models if one["column"] == column), description.get("model") or {}
    )
    return found


def add_to_description(root: str, **more: Any) -> None:
    """Add values to the description of a finished dataset that are known only afterwards.

    Args:
      root: the output directory.
      more: JSON values by name.
    """
    description = read_description(root)
    if description is not None:
        write_json(files.join(root, "dataset.json"), {**description, **more})


def _in_order(
    spec: DatasetSpec, outcomes: Iterable[JoinedOutcomes]
) -> tuple[list[FinishedItem], pa.Table]:
    """Return all items sorted by id, and the rows of their tables in that order."""
    joined = list(outcomes)
    items = [item for some in joined for item in some.items]
    ends = np.cumsum([item.table_rows for item in items], dtype=np.int64)
    order = sorted(range(len(items)), key=lambda place: items[place].item_id)
    taken = [np.arange(ends[place] - items[place].table_rows, ends[place]) for place in order]
    schema = spec.table.remove(spec.table.get_field_index("shard"))
    rows = pa.Table.from_batches([some.table for some in joined], schema)
    return [items[place] for place in order], rows.take(
        np.concatenate([np.empty(0, np.int64), *taken])
    )


def _item_table(
    spec: DatasetSpec, items: Sequence[FinishedItem], rows: pa.Table, shard_of: Mapping[str, int]
) -> pa.Table:
    ids = [item.item_id for item in items for _ in range(item.table_rows)]
    shards = [
        None if status == "failed" else shard_of.get(item_id)
        for item_id, status in zip(ids, rows["status"].to_pylist(), strict=True)
    ]
    return rows.append_column(spec.table.field("shard"), pa.array(shards, pa.int32()))


def _added_up(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: collections.Counter[str] = collections.Counter()
    for some in counts:
        total.update(some)
    return dict(sorted(total.items()))


def _check_rows(
    items: Iterable[FinishedItem], shard_of: Mapping[str, int], shards: Sequence[ShardRef]
) -> None:
    expected = collections.Counter(dict.fromkeys(range(len(shards)), 0))
    for item in items:
        if item.rows:
            expected[shard_of[item.item_id]] += item.rows
    written = [(shard.index, shard.rows) for shard in sorted(shards)]
    if written != sorted(expected.items()):
        raise ValueError(
            f"the shards hold {written} (shard, rows), but the outcomes {sorted(expected.items())}"
        )


def _shard_names(spec: DatasetSpec, shards: Sequence[ShardRef]) -> list[dict[str, Any]]:
    return [
        {
            "files": [
                shard_name(shard.index, len(shards), form.extension, content_of(spec.features))
                for form in map(FORMATS.get, spec.shard_format.formats)
            ],
            "rows": shard.rows,
        }
        for shard in sorted(shards)
    ]


def _sidecars(spec: DatasetSpec, schema: pa.Schema) -> dict[str, bytes]:
    """Return the content of the sidecars of the formats in use, by path."""
    formats = map(FORMATS.get, spec.shard_format.formats)
    sidecars = {form.sidecar.name: form.sidecar for form in formats if form.sidecar is not None}
    return {spec.layout.sidecar(name): one.content(schema) for name, one in sidecars.items()}


def _delete_stale_sidecars(layout: Layout, current: Collection[str]) -> None:
    known = {layout.sidecar(name) for name in sidecar_names()}
    files.delete(sorted(known - set(current)))


def _delete_stale_pictures(layout: Layout, items: Iterable[FinishedItem]) -> None:
    """Delete the pictures of items that the dataset no longer holds."""
    current = {layout.picture(item.item_id) for item in items}
    lying = [file.path for file in files.list_files(layout.pictures, recursive=False)]
    files.delete([path for path in lying if path.endswith(".jpg") and path not in current])
