"""Read a table of the user: a CSV or Parquet file anywhere, or a table in memory."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.sources.tables.read_csv import read_csv
from beamscope.transforms.storage import files


def read_table(source: Any, text: tuple[str, ...] = ()) -> pa.Table:
    """Return a table.

    Cells of a CSV are text. A column whose cells are all numbers or blank becomes int64 or float64,
    with null for blank.

    Args:
      source: path or URI of a CSV (also gzipped) or Parquet file; a dict of columns, a pandas or
        polars frame, or an Arrow table.
      text: columns that stay text whatever their cells, such as identifiers with leading zeros.

    Raises:
      InputError: ``bad_table``: it cannot be read.
    """
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    if not isinstance(source, str):
        try:
            return pa.table(source)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise InputError(Kind.BAD_TABLE, f"is not a table: {one_line(error)}") from error
    try:
        if source.endswith(".parquet"):
            with files.open_read(source) as file:
                return pq.read_table(file)
        columns = read_csv(files.read_bytes(source)).columns
    except (OSError, pa.ArrowException) as error:
        message = f"{source}: cannot be read: {one_line(error)}"
        raise InputError(Kind.BAD_TABLE, message) from error
    except InputError as error:
        raise InputError(Kind.BAD_TABLE, f"{source}: {error.message}") from error
    return pa.table(
        {
            name: columns[name] if name in text else _numbers(columns[name])
            for name in columns.column_names
        }
    )


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(column)
    blank = pc.equal(trimmed, "")
    values = pc.if_else(blank, None, trimmed)
    if values.null_count == len(values):
        return values
    for kind in (pa.int64(), pa.float64()):
        try:
            return pc.cast(values, kind)
        except pa.ArrowInvalid:
            continue
    return pc.if_else(blank, None, column)
