"""Parts: one small file for each finished block. They make progress durable.

A part is an Arrow IPC stream of the block's rows and float32 embeddings. The schema's metadata
holds the number of planned rows, and the problems of the missing ones.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, PartRef
from beamscope.transforms.output.layout import Layout, part_name
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.problems import Problem
from beamscope.transforms.storage import files

_HEADER = b"beamscope.part"
# Parts to read at a time from an object store, where each costs a request.
_READERS = 32


def write_part(layout: Layout, block: EmbeddingBlock) -> PartRef:
    """Write a block under its own name, and replace the part of an earlier try."""
    header = {
        "item_id": block.key.item_id,
        "index": block.key.index,
        "planned": block.planned,
        "embedded": block.rows.num_rows,
        "left_out": block.left_out,
        "problems": [dataclasses.asdict(problem) for problem in block.problems],
    }
    features = block.embeddings.shape[1]
    schema = embedding_schema(block.rows.schema, features).with_metadata(
        {_HEADER: json.dumps(header).encode()}
    )
    path = layout.part(block.key, block.planned)
    with files.atomic_path(path) as temporary, pa.ipc.new_stream(temporary, schema) as stream:
        stream.write_batch(to_record_batch(block.rows, block.embeddings, schema))
    return PartRef(block.key, path, block.planned, block.rows.num_rows, block.left_out)


def read_part_ref(path: str) -> PartRef:
    """Return the reference to an existing part; read only its header."""
    header = _read_header(path)
    key = BlockKey(header["item_id"], header["index"])
    return PartRef(key, path, header["planned"], header["embedded"], header["left_out"])


def read_part_refs(paths: Sequence[str]) -> list[PartRef]:
    """Return the references to parts, in order; read many remote headers at a time."""
    if all(map(files.is_local, paths)):
        return list(map(read_part_ref, paths))
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(read_part_ref, paths))


def read_part_problems(path: str) -> list[Problem]:
    """Return the problems of a part's missing rows."""
    return [Problem(**problem) for problem in _read_header(path)["problems"]]


def read_part(path: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part with their embeddings."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def parts_in_order(
    item_id: str, parts: Iterable[PartRef], block_sizes: Iterable[int]
) -> list[PartRef]:
    """Return the parts of an item, in the order of its blocks.

    Raises:
      ValueError: the parts are not exactly those of the item's plan.
    """
    ordered = sorted(parts)
    found = [(part.key.index, part.planned) for part in ordered]
    planned = list(enumerate(block_sizes))
    if found != planned:
        raise ValueError(f"{item_id}: parts {found} are not the blocks {planned}")
    return ordered


def finished_parts(
    layout: Layout, item_id: str, block_sizes: Sequence[int] | None
) -> list[PartRef]:
    """Return the existing parts of an item that are blocks of its plan.

    Args:
      layout: paths of the dataset.
      item_id: id of the item.
      block_sizes: planned rows of each block; None if only reading the item tells, so that every
        part counts.
    """
    paths = []
    for file in files.list_files(layout.item_parts(item_id), recursive=False):
        name = part_name(file.path)
        if name is None:
            continue
        index, planned = name
        known = block_sizes is None or index < len(block_sizes)
        if known and (block_sizes is None or block_sizes[index] == planned):
            paths.append(file.path)
    return read_part_refs(paths)


def delete_parts(layout: Layout, item_id: str, keep: Collection[int] = ()) -> None:
    """Delete the parts of an item for all embeddings, except for the blocks in `keep`."""
    folder = layout.all_item_parts(item_id)
    if not keep:
        files.delete_tree(folder)
        return
    names = ((file.path, part_name(file.path)) for file in files.list_files(folder))
    files.delete([path for path, name in names if name is None or name[0] not in keep])


def list_parts(layout: Layout) -> dict[files.FileInfo, int]:
    """Return every part of this embedding, with its number of planned rows."""
    found = ((file, part_name(file.path)) for file in files.list_files(layout.parts))
    folder = f"/{layout.fingerprint}/"
    return {file: name[1] for file, name in found if name is not None and folder in file.path}


def _read_header(path: str) -> dict[str, Any]:
    with files.open_read(path) as file, pa.ipc.open_stream(file) as stream:
        header: dict[str, Any] = json.loads(stream.schema.metadata[_HEADER])
    return header
