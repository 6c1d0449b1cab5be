"""What a start has found in an output in a store: plans that still hold, and finished blocks.

One process lists the output once, and writes what it has found; the workers read that, once each,
instead of asking the store for each plan and each slide.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from beamscope.transforms.output.layout import Layout, file_name, part_counts, part_name
from beamscope.transforms.output.plan_index import write_table
from beamscope.transforms.output.sealed import DamagedError, read_sealed
from beamscope.transforms.problems import one_line
from beamscope.transforms.storage import files

# Items in a file: a few MB.
_ITEMS_A_FILE = 4_096
# Of several layouts in one process, as tests have them.
_KEPT = 4
_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("item", "header", "parts")])


@dataclasses.dataclass(frozen=True)
class Found:
    """Where it is written what a start has found.

    Attributes:
      paths: of the files.
      items: number of items with a plan that holds.
      drawn: whether a sample in total need not be drawn again.
    """

    paths: tuple[str, ...]
    items: int
    drawn: bool = False


@dataclasses.dataclass(frozen=True)
class FoundItem:
    """An item whose plan holds.

    Attributes:
      header: of its plan.
      parts: files of finished blocks, for all models; of one whose name says its numbers of rows,
        size and version are not kept.
    """

    header: dict[str, Any]
    parts: tuple[files.FileInfo, ...]


def list_item_parts(layout: Layout) -> dict[str, list[files.FileInfo]]:
    """Return the finished blocks of each item, as `file_name` writes it, from one listing."""
    fingerprints = {one.fingerprint for one in layout.each()}
    found: dict[str, list[files.FileInfo]] = collections.defaultdict(list)
    for file in files.list_files(layout.parts):
        _, item, fingerprint, _ = file.path.rsplit("/", 3)
        if fingerprint in fingerprints and part_name(file.path) is not None:
            found[item].append(file)
    return found


def write_found(
    layout: Layout,
    slot: str,
    plans: Mapping[str, str],
    parts: Mapping[str, Sequence[files.FileInfo]],
) -> Found:
    """Write what a start has found, instead of what earlier starts have.

    Args:
      layout: paths of an output in a store.
      slot: of the lease of this start.
      plans: header of each plan that holds as JSON text, by the item as `file_name` writes it.
      parts: see `list_item_parts`.
    """
    folder = layout.index("found")
    old = [
        file.path
        for file in files.list_files(folder)
        if file.path.rpartition("/")[2].startswith(f"{slot}-")
    ]
    # A name of its own: what a process has read of an earlier start is not taken for this one's.
    start, items = uuid.uuid4().hex[:12], sorted(plans)
    paths: list[str] = []
    for first in range(0, len(items), _ITEMS_A_FILE):
        some = items[first : first + _ITEMS_A_FILE]
        columns = [
            some,
            [plans[item] for item in some],
            [json.dumps([_shortened(part) for part in parts.get(item, ())]) for item in some],
        ]
        batch = pa.RecordBatch.from_arrays(
            [pa.array(column, pa.string()) for column in columns], schema=_SCHEMA
        )
        path = files.join(folder, f"{slot}-{start}-{len(paths):03d}.index")
        write_table(path, batch)
        paths.append(path)
    files.delete(old)
    return Found(tuple(paths), len(items))


def find_found(found: Found | None, layout: Layout, item_id: str) -> FoundItem | None:
    """Return what a start has found of an item; None if it has found no plan that holds.

    The files are read when a process asks for the first time. Items of a file that is damaged or
    gone are looked for one by one.
    """
    if found is None:
        return None
    known = _read_once(found).get(file_name(item_id))
    if known is None:
        return None
    header, parts = known
    folder = layout.all_item_parts(item_id)
    return FoundItem(json.loads(header), tuple(_files(folder, json.loads(parts))))


_log = logging.getLogger(__name__)
_reading = threading.Lock()
_known: dict[Found, dict[str, tuple[str, str]]] = {}


def _read_once(found: Found) -> dict[str, tuple[str, str]]:
    with _reading:
        if found not in _known:
            items: dict[str, tuple[str, str]] = {}
            for path in found.paths:
                try:
                    table = read_sealed(path)[1].read_all()
                except (DamagedError, FileNotFoundError) as error:
                    _log.warning("%s; its items are looked for one by one", one_line(error))
                    continue
                columns = [table.column(name).to_pylist() for name in _SCHEMA.names]
                for item, header, parts in zip(*columns, strict=True):
                    items[item] = header, parts
            while len(_known) >= _KEPT:
                del _known[next(iter(_known))]
            _known[found] = items
        return _known[found]


def _shortened(part: files.FileInfo) -> Any:
    name = "/".join(part.path.rsplit("/", 2)[-2:])
    if part_counts(part.path) is not None:
        return name
    return [name, part.size, part.version, part.modified, part.crc32c]


def _files(folder: str, parts: Iterable[Any]) -> Iterable[files.FileInfo]:
    for part in parts:
        name, *more = (part, 0) if isinstance(part, str) else tuple(part)
        yield files.FileInfo(files.join(folder, str(name)), *more)
