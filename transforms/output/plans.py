"""Files of plans: no item is planned or fetched twice.

A plan is an Arrow IPC stream: a header of plain values in the schema's metadata, and a table.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from beamscope.transforms.problems import StorageError
from beamscope.transforms.storage import files

_HEADER = b"beamscope.plan"


def write_plan_file(path: str, header: Mapping[str, Any], table: pa.Table) -> None:
    """Write a plan; dataclasses in the header become JSON objects."""
    encoded = json.dumps(header, default=dataclasses.asdict).encode()
    schema = table.schema.with_metadata({_HEADER: encoded})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        files.atomic_path(path) as temporary,
        pa.ipc.new_stream(temporary, schema, options=options) as stream,
    ):
        stream.write_table(table.replace_schema_metadata(schema.metadata))


def read_plan_file(path: str) -> tuple[dict[str, Any], pa.Table]:
    """Return the header and the table of a plan."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as stream:
        return json.loads(stream.schema.metadata[_HEADER]), stream.read_all()


def read_plan_header(path: str) -> dict[str, Any]:
    """Return the header of a plan without reading its table."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as stream:
        header: dict[str, Any] = json.loads(stream.schema.metadata[_HEADER])
    return header


def file_identity(uri: str) -> list[Any]:
    """Return a file's path and size, which identify the file that a plan was made from.

    The size is None if the file does not exist.
    """
    try:
        size = files.size(uri)
    except StorageError:
        # It is not known that the file has changed: nothing may be thrown away for that.
        raise
    except OSError:
        size = None
    # Do not resolve links: the target of a link may change while the link stays.
    return [os.path.abspath(uri) if files.is_local(uri) else uri, size]  # noqa: PTH100
