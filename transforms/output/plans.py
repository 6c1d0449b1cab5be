"""Files of plans: no item is planned or fetched twice.

A plan is a sealed file (`sealed`): a header of plain values, and a table.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from beamscope.transforms.output.sealed import (
    DamagedError,
    read_header,
    read_sealed,
    write_sealed,
)
from beamscope.transforms.problems import StorageError
from beamscope.transforms.storage import files

_DIGEST = "digest"


def write_plan_file(path: str, header: Mapping[str, Any], table: pa.Table) -> None:
    """Write a plan; dataclasses in the header become JSON objects."""
    sealed = {**header, _DIGEST: header.get(_DIGEST) or content_digest(header, table)}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    write_sealed(path, sealed, table.schema, table.to_batches(), options)


def read_plan_file(path: str) -> tuple[dict[str, Any], pa.Table]:
    """Return the header and the table of a plan, all of it verified.

    Raises:
      DamagedError: it is not what was written.
    """
    header, stream = read_sealed(path)
    return _own(header), stream.read_all()


@dataclasses.dataclass(frozen=True)
class KnownPlan:
    """A plan whose header has been read.

    Attributes:
      header: as it is in the file.
    """

    header: Mapping[str, Any]


PlanFile = str | files.FileInfo | KnownPlan


def read_plan_header(plan: PlanFile) -> dict[str, Any]:
    """Return the header of a plan without reading its table.

    Args:
      plan: its path, or its file as it was listed; or the plan itself where it is known already.

    Raises:
      DamagedError: the header is not what was written.
    """
    return _own(dict(plan.header) if isinstance(plan, KnownPlan) else read_header(plan))


def content_digest(*content: Any) -> str:
    """Return the digest of what a plan says: JSON values, dataclasses and tables.

    Parts carry it, so that they are still known for blocks of an equal plan when the file of the
    plan is damaged or lost, and is made again.
    """
    digest = hashlib.sha256()
    for part in content:
        if isinstance(part, pa.Table):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, part.schema) as stream:
                stream.write_table(part.combine_chunks())
            digest.update(memoryview(sink.getvalue()))
        else:
            digest.update(json.dumps(part, default=dataclasses.asdict, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def plan_digest(path: str) -> str:
    """Return the digest of a plan that was written; empty if there is none that can be read."""
    try:
        found: str = read_header(path).get(_DIGEST, "")
    except (DamagedError, FileNotFoundError):
        return ""
    return found


def _own(header: dict[str, Any]) -> dict[str, Any]:
    """Return the header as the planner wrote it."""
    return {name: value for name, value in header.items() if name not in ("place", _DIGEST)}


def file_identity(uri: str, seen: Mapping[str, files.FileInfo | None] | None = None) -> list[Any]:
    """Return a file's path and size, which identify the file that a plan was made from.

    The size is None if the file does not exist.

    Args:
      uri: of the file.
      seen: files that have been looked at already, by uri (`files.stat_all`); others are asked for.
    """
    if seen is not None and uri in seen:
        found = seen[uri]
        return [_place(uri), found.size if found is not None else None]
    try:
        size = files.size(uri)
    except StorageError:
        # It is not known that the file has changed: nothing may be thrown away for that.
        raise
    except OSError:
        size = None
    return [_place(uri), size]


def _place(uri: str) -> str:
    # Do not resolve links: the target of a link may change while the link stays.
    return os.path.abspath(uri) if files.is_local(uri) else uri  # noqa: PTH100
