"""An index of the headers of plans, so that a store need not be asked for each of them.

It is a cache of an output in a store. An entry names the plan that it was read from by size and
version, so that a plan that was written anew is read anew; what the index lacks is read alone; and
an index that is damaged is left out, and made again. On a disk there is none: a file is opened as
quickly as an entry is found.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.leases.lease_file import EVERYTHING
from beamscope.transforms.output.sealed import DamagedError, read_header, read_sealed, write_sealed
from beamscope.transforms.storage import files

# Plans in a file of the index: some 1 MB. TCGA has eight.
_PLANS_A_FILE = 4_096
# Requests under way at a time.
_READERS = 32
_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in ("name", "state", "header")]
    + [pa.field("size", pa.int64())]
)
_ENDING = ".index"
_log = logging.getLogger(__name__)


class PlanIndex:
    """Headers of plans, as they were when the index was read.

    Args:
      entries: by the name of a plan's file: size, state and header as JSON text.
    """

    def __init__(self, entries: Mapping[str, tuple[int, str, str]]) -> None:
        self._entries = dict(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def header(self, plan: files.FileInfo) -> dict[str, Any] | None:
        """Return the header of a plan that was listed; None if it is not here, or another one."""
        text = self.text(plan)
        return None if text is None else json.loads(text)

    def text(self, plan: files.FileInfo) -> str | None:
        """Return the header as JSON text; None likewise."""
        size, state, text = self._entries.get(_name(plan), (-1, "", ""))
        return text if (size, state) == (plan.size, _state(plan)) else None


def list_plans(layout: Layout) -> list[files.FileInfo]:
    """Return the files of the plans of an output."""
    return [file for file in files.list_files(layout.plans) if file.path.endswith(".arrow")]


def read_index(layout: Layout) -> PlanIndex:
    """Return the index of an output; an empty one if there is none."""
    entries: dict[str, tuple[int, str, str]] = {}
    if files.is_local(layout.root):
        return PlanIndex(entries)
    found = [file for file in files.list_files(layout.index("index")) if _is_index(file)]
    with ThreadPoolExecutor(_READERS) as readers:
        for table in readers.map(_read, found):
            for name, state, header, size in zip(*_columns(table), strict=True):
                entries[name] = (size, state, header)
    return PlanIndex(entries)


def update_index(
    layout: Layout,
    slot: str = EVERYTHING,
    wanted: Callable[[str], bool] | None = None,
) -> dict[str, str]:
    """Read the headers of plans that the index lacks, and write them into it.

    Args:
      layout: paths of an output in a store.
      slot: of the lease. Of several machines each adds files to the index; who does everything
        writes all of it anew.
      wanted: whether a plan counts, by the name of its file without ending; None for all.

    Returns:
      the header of each plan as JSON text, by that name.
    """
    plans = [plan for plan in list_plans(layout) if wanted is None or wanted(_item(plan))]
    index = read_index(layout)
    lacking = [plan for plan in plans if index.text(plan) is None]
    with ThreadPoolExecutor(_READERS) as readers:
        read = dict(zip(map(_item, lacking), readers.map(_header_text, lacking), strict=True))
    known: list[tuple[files.FileInfo, str]] = []
    for plan in plans:
        text = index.text(plan) or read.get(_item(plan))
        if text is not None:
            known.append((plan, text))
    if slot == EVERYTHING:
        if lacking or len(index) > len(known):
            _write(layout, slot, known)
    elif lacking:
        # Others write at the same time: what is new goes to a file of its own.
        new = [one for one in known if _item(one[0]) in read]
        _write(layout, f"{slot}-{uuid.uuid4().hex[:8]}", new)
    return {_item(plan): text for plan, text in known}


def _write(layout: Layout, slot: str, known: Sequence[tuple[files.FileInfo, str]]) -> None:
    folder = layout.index("index")
    paths = []
    for number, some in enumerate(_pieces(known)):
        columns = [
            pa.array([_name(plan) for plan, _ in some], pa.string()),
            pa.array([_state(plan) for plan, _ in some], pa.string()),
            pa.array([text for _, text in some], pa.string()),
            pa.array([plan.size for plan, _ in some], pa.int64()),
        ]
        path = files.join(folder, f"{slot}-{number:03d}{_ENDING}")
        batch = pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)
        write_table(path, batch)
        paths.append(path)
    if slot == EVERYTHING:
        # All of the index is in these files now.
        files.delete([file.path for file in files.list_files(folder) if file.path not in paths])


def write_table(path: str, batch: pa.RecordBatch) -> None:
    """Write a sealed file of one batch, compressed."""
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    write_sealed(path, {}, batch.schema, [batch], options)


def _pieces(known: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(known), _PLANS_A_FILE):
        yield known[start : start + _PLANS_A_FILE]


def _read(file: files.FileInfo) -> pa.Table:
    try:
        return read_sealed(file)[1].read_all()
    except FileNotFoundError:
        # Another machine has written its own meanwhile.
        return _SCHEMA.empty_table()
    except DamagedError as error:
        _log.warning("damaged: %s; the plans are read one by one", error)
        with contextlib.suppress(OSError):
            files.delete([file.path])
        return _SCHEMA.empty_table()


def _columns(table: pa.Table) -> Iterable[list[Any]]:
    return [table.column(name).to_pylist() for name in ("name", "state", "header", "size")]


def _header_text(plan: files.FileInfo) -> str | None:
    try:
        return json.dumps(read_header(plan))
    except (DamagedError, FileNotFoundError):
        # Whoever needs it says so, and makes it again.
        return None


def _is_index(file: files.FileInfo) -> bool:
    return file.path.endswith(_ENDING)


def _name(plan: files.FileInfo) -> str:
    return plan.path.rpartition("/")[2]


def _item(plan: files.FileInfo) -> str:
    return _name(plan).removesuffix(".arrow")


def _state(plan: files.FileInfo) -> str:
    return str(plan.version) if plan.version is not None else repr(plan.modified)
