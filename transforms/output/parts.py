"""Parts: one small file for each finished block. They make progress durable.

A part is a sealed file (`sealed`) of the block's rows and float32 embeddings. Its header holds the
number of planned rows, the problems of the missing ones, and the digest of the plan.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from beamscope.transforms.blocks import BlockKey, EmbeddingBlock, PartRef
from beamscope.transforms.output.layout import Layout, part_counts, part_name
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.output.sealed import (
    DamagedError,
    check_sealed,
    read_header,
    read_sealed,
    write_sealed,
)
from beamscope.transforms.problems import Problem
from beamscope.transforms.storage import files

# The stage of rows that a model has lost; the others could not be read.
OF_MODEL = "embed"
# Parts to read at a time from an object store, where each costs a request.
_READERS = 32


def write_part(layout: Layout, block: EmbeddingBlock, plan_digest: str = "") -> PartRef:
    """Write a block under its own name, and replace the part of an earlier try.

    Args:
      layout: paths of the dataset.
      block: the block.
      plan_digest: of the plan that the block is of (`plans.plan_digest`).
    """
    header = {
        "item_id": block.key.item_id,
        "index": block.key.index,
        "planned": block.planned,
        "embedded": block.rows.num_rows,
        "left_out": block.left_out,
        "problems": block.problems,
        "plan": plan_digest,
    }
    schema = embedding_schema(block.rows.schema, block.embeddings.shape[1])
    path = layout.part(block.key, block.planned, block.rows.num_rows, block.left_out)
    write_sealed(path, header, schema, [to_record_batch(block.rows, block.embeddings, schema)])
    return PartRef(block.key, path, block.planned, block.rows.num_rows, block.left_out)


def read_part_ref(part: str | files.FileInfo) -> PartRef:
    """Return the reference to an existing part; read only its header.

    Raises:
      DamagedError: the header is not what was written.
    """
    return _as_ref(part if isinstance(part, str) else part.path, read_header(part))


def check_part(file: files.FileInfo) -> PartRef:
    """Return the reference to an existing part, all of it verified.

    Of a part on s3:// the header alone is verified, since the rest would have to be fetched, and
    will be when the dataset is assembled (`read_part`). Of one that `parts_among` finds by its name
    not even that is read before.

    Raises:
      DamagedError: it is not what was written.
    """
    remote = not files.is_local(file.path)
    return _as_ref(file.path, read_header(file) if remote else check_sealed(file))


def part_problems(header: dict[str, Any]) -> list[Problem]:
    """Return the problems of a part's missing rows, from its header."""
    return [Problem(**problem) for problem in header["problems"]]


def read_part_problems(path: str) -> list[Problem]:
    """Return the problems of a part's missing rows.

    Raises:
      DamagedError: the header is not what was written.
    """
    return part_problems(read_header(path))


def read_part(path: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part with their embeddings, all of it verified.

    Raises:
      DamagedError: it is not what was written.
    """
    yield from read_sealed(path)[1]


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
    layout: Layout,
    item_id: str,
    block_sizes: Sequence[int] | None,
    on_damage: Callable[[DamagedError], object] | None = None,
    wanted: Callable[[int], bool] | None = None,
) -> list[PartRef]:
    """Return the existing parts of an item that are blocks of its plan, verified (`check_part`).

    A part that is damaged is not among them. Of several models, the parts of each are there.

    Args:
      layout: paths of the dataset.
      item_id: id of the item.
      block_sizes: planned rows of each block; None if only reading the item tells, so that every
        part counts.
      on_damage: told of each part that is damaged, which is then deleted; without it, nothing is.
      wanted: whether to look at the block of an index; None for all.
    """
    found = [
        file
        for one in layout.each()
        for file in files.list_files(one.item_parts(item_id), recursive=False)
    ]
    return parts_among(found, item_id, block_sizes, on_damage, wanted)


def parts_among(
    found: Iterable[files.FileInfo],
    item_id: str,
    block_sizes: Sequence[int] | None,
    on_damage: Callable[[DamagedError], object] | None = None,
    wanted: Callable[[int], bool] | None = None,
) -> list[PartRef]:
    """Return the parts among the files of an item, as `finished_parts` does.

    A part in a store is verified when it is read, and not here, where its name says enough.
    """
    kept: list[files.FileInfo] = []
    refs: list[PartRef] = []
    for file in one_of_each(found):
        index, planned = part_name(file.path) or (0, 0)
        known = block_sizes is None or index < len(block_sizes)
        if wanted is not None and not wanted(index):
            continue
        if not known or (block_sizes is not None and block_sizes[index] != planned):
            continue
        counts = None if files.is_local(file.path) else part_counts(file.path)
        if counts is None:
            kept.append(file)
        else:
            refs.append(PartRef(BlockKey(item_id, index), file.path, planned, *counts))
    return refs + [ref for ref in check_parts(kept, on_damage) if ref is not None]


def one_of_each(found: Iterable[files.FileInfo]) -> list[files.FileInfo]:
    """Return the part of each block and embedding among some files.

    There are two where a block that was tried again has lost other rows than before: of these it is
    the one with more rows.
    """
    best: dict[tuple[str, int, int], files.FileInfo] = {}
    for file in found:
        name = part_name(file.path)
        if name is None:
            continue
        place = (file.path.rpartition("/")[0], *name)
        other = best.get(place)
        if other is None or _rank(file) > _rank(other):
            best[place] = file
    return list(best.values())


def _rank(file: files.FileInfo) -> tuple[int, int]:
    return part_counts(file.path) or (-1, 0)


def check_parts(
    found: Sequence[files.FileInfo], on_damage: Callable[[DamagedError], object] | None = None
) -> list[PartRef | None]:
    """Return the reference to each part; None for one that is damaged.

    Many remote parts are verified at a time.

    Args:
      found: parts, as they were listed.
      on_damage: told of each part that is damaged, which is then deleted; without it, nothing is.
    """

    def check(file: files.FileInfo) -> PartRef | DamagedError | None:
        try:
            return check_part(file)
        except DamagedError as error:
            return error
        except FileNotFoundError:
            return None

    if all(files.is_local(file.path) for file in found):
        checked = list(map(check, found))
    else:
        with ThreadPoolExecutor(_READERS) as readers:
            checked = list(readers.map(check, found))
    damaged = [one for one in checked if isinstance(one, DamagedError)]
    if on_damage is not None:
        files.delete([one.path for one in damaged])
        for one in damaged:
            on_damage(one)
    return [one if isinstance(one, PartRef) else None for one in checked]


def find_part(
    layout: Layout,
    key: BlockKey,
    planned: int,
    on_damage: Callable[[DamagedError], object] | None = None,
    *,
    embedded: int | None = None,
    left_out: int = 0,
) -> PartRef | None:
    """Return the part of a block; None if there is none, or it is damaged.

    It is looked for under the name that it has if the model has lost no row; `parts_by_block` lists
    those of which it has lost some, too.

    Args:
      layout: paths of one embedding.
      key: of the block.
      planned: number of planned rows.
      on_damage: as for `check_parts`.
      embedded: number of rows that can be read; None for all of them.
      left_out: number of planned rows that are not wanted.
    """
    try:
        found = files.stat(layout.part(key, planned, embedded, left_out))
    except FileNotFoundError:
        return None
    (part,) = check_parts([found], on_damage)
    return part


def parts_by_block(layout: Layout, item_id: str) -> dict[tuple[int, int], files.FileInfo]:
    """Return the file of each part of an item, of one embedding, by index and planned rows."""
    listed = one_of_each(files.list_files(layout.item_parts(item_id), recursive=False))
    named = ((part_name(file.path), file) for file in listed)
    return {name: file for name, file in named if name is not None}


def rows_seen(part: PartRef) -> int:
    """Return how many rows of a block its model has seen: what it embedded, and what it lost.

    Raises:
      DamagedError: the header of the part is not what was written.
    """
    lost = sum(problem.stage == OF_MODEL for problem in read_part_problems(part.path))
    return part.embedded + lost


def blocks_of_all(layout: Layout, parts: Iterable[PartRef]) -> frozenset[int]:
    """Return the indices of an item's blocks of which every model has a part."""
    counted = collections.Counter(part.key.index for part in parts)
    models = len(layout.each())
    return frozenset(index for index, number in counted.items() if number == models)


def delete_parts(layout: Layout, item_id: str, keep: Collection[int] = ()) -> None:
    """Delete the parts of an item for all embeddings, except for the blocks in `keep`."""
    folder = layout.all_item_parts(item_id)
    if not keep:
        files.delete_tree(folder)
        return
    names = ((file.path, part_name(file.path)) for file in files.list_files(folder))
    files.delete([path for path, name in names if name is None or name[0] not in keep])


def list_parts(layout: Layout) -> dict[files.FileInfo, int]:
    """Return every part of the embeddings, with its number of planned rows."""
    listed = one_of_each(files.list_files(layout.parts))
    found = ((file, part_name(file.path)) for file in listed)
    folders = {one.fingerprint for one in layout.each()}
    return {
        file: name[1]
        for file, name in found
        if name is not None and file.path.rsplit("/", 2)[-2] in folders
    }


def parts_of_plan(layout: Layout, item_id: str, plan_digest: str) -> frozenset[int]:
    """Return the indices of an item's parts, of whatever embedding, that were made by a plan."""
    kept: set[int] = set()
    lost: set[int] = set()
    for file in files.list_files(layout.all_item_parts(item_id)):
        name = part_name(file.path)
        if name is None:
            continue
        try:
            same = read_header(file).get("plan") == plan_digest
        except (DamagedError, FileNotFoundError):
            continue
        (kept if same else lost).add(name[0])
    return frozenset(kept - lost)


def _as_ref(path: str, header: dict[str, Any]) -> PartRef:
    key = BlockKey(header["item_id"], header["index"])
    return PartRef(key, path, header["planned"], header["embedded"], header["left_out"])
