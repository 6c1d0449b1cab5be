"""Read plain float32 columns of local Parquet files page by page, at the speed of memory.

Arrow decodes the levels of a list column, value by value, and copies the values twice: 2,048 floats
a row take far longer to decode than to multiply. beamscope writes embeddings plain, and does not
compress them, so that the values of a page are bytes of the file. What is stored otherwise is
refused here (`plain_chunk` returns None), and Arrow reads it.

The layout is that of https://parquet.apache.org/docs/file-format/data-pages/, and headers are in
Thrift's compact protocol.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Header and levels of a page are some hundred bytes.
_AHEAD = 4096
_DATA_PAGE = 0
_PLAIN = 0


class NotPlainError(Exception):
    """Pages are stored in another way than their column lets expect: Arrow has to read them."""


@dataclasses.dataclass(frozen=True)
class PlainChunk:
    """The values of a column of fixed-size lists in one row group.

    Attributes:
      path: a local file.
      offset: of the first page in bytes.
      length: of all pages in bytes.
      rows: number of lists.
      features: length of each list.
    """

    path: str
    offset: int
    length: int
    rows: int
    features: int


def plain_chunk(
    path: str, footer: Any, group: int, column: str, features: int
) -> PlainChunk | None:
    """Return where the values of a column lie; None where Arrow has to read them.

    Args:
      path: of a local Parquet file.
      footer: its metadata, as pyarrow gives it.
      group: index of the row group.
      column: name of the column.
      features: length of each list.
    """
    described = footer.row_group(group)
    found = [
        described.column(place)
        for place in range(described.num_columns)
        if described.column(place).path_in_schema.startswith(f"{column}.")
    ]
    if len(found) != 1:
        return None
    chunk = found[0]
    plain = (
        chunk.physical_type == "FLOAT"
        and chunk.compression == "UNCOMPRESSED"
        and not chunk.has_dictionary_page
        and set(chunk.encodings) <= {"PLAIN", "RLE", "BIT_PACKED"}
        and chunk.num_values == described.num_rows * features
    )
    if not plain:
        return None
    length = chunk.total_compressed_size
    return PlainChunk(path, chunk.data_page_offset, length, described.num_rows, features)


def rows_of(chunk: PlainChunk, file: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the rows of a chunk, some hundred at a time.

    Args:
      chunk: the values.
      file: descriptor of the open file.

    Yields:
      float32 ``[n, features]``; the next step overwrites it.

    Raises:
      InputError: ``unreadable_dataset`` where the pages are not as the footer says.
      NotPlainError: pages of another kind, before any row of them is yielded.
    """
    buffer = np.empty(0, np.float32)
    place, end = chunk.offset, chunk.offset + chunk.length
    kept = rows = 0
    while place < end:
        ahead = os.pread(file, min(_AHEAD, end - place), place)
        header = _header(chunk, ahead)
        values = header.values
        if len(buffer) < kept + values:
            larger = np.empty(kept + values + chunk.features, np.float32)
            larger[:kept] = buffer[:kept]
            buffer = larger
        start = place + header.length + _levels(chunk, file, place, ahead, header)
        if start + 4 * values != place + header.length + header.size:
            raise _damaged(chunk, "a page has another number of values than it says")
        into = buffer[kept : kept + values].view(np.uint8).data
        if os.preadv(file, [into], start) != len(into):
            raise _damaged(chunk, "the file ends inside a page")
        whole, rest = divmod(kept + values, chunk.features)
        if whole:
            yield buffer[: whole * chunk.features].reshape(whole, chunk.features)
            rows += whole
            buffer[:rest] = buffer[whole * chunk.features : kept + values].copy()
        kept = rest
        place += header.length + header.size
    if rows != chunk.rows or kept:
        raise _damaged(chunk, f"{rows} rows are there, not {chunk.rows}")


@dataclasses.dataclass(frozen=True)
class _Header:
    """A page header: its own length, that of the page behind it, and the number of values."""

    length: int
    size: int
    values: int


def _header(chunk: PlainChunk, data: bytes) -> _Header:
    try:
        fields, length = _struct(data, 0)
        if fields[1] != _DATA_PAGE or fields[2] != fields[3]:
            raise NotPlainError
        page = fields[5]
        if page[2] != _PLAIN:
            raise NotPlainError
        return _Header(length, fields[3], page[1])
    except (KeyError, IndexError, TypeError, ValueError):
        raise _damaged(chunk, "a page header cannot be read") from None


def _levels(chunk: PlainChunk, file: int, place: int, ahead: bytes, header: _Header) -> int:
    """Return how many bytes of a page are repetition and definition levels."""
    total = 0
    for _ in range(2):
        at = header.length + total
        length = ahead[at : at + 4]
        if len(length) < 4:
            length = os.pread(file, 4, place + at)
        total += 4 + int.from_bytes(length, "little")
        if total > header.size:
            raise _damaged(chunk, "the levels of a page are longer than the page")
    return total


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Read a struct of Thrift's compact protocol; return its fields by id, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        first = data[at]
        at += 1
        if first == 0:
            return fields, at
        if first >> 4:
            number += first >> 4
        else:
            raw, at = _varint(data, at)
            number = (raw >> 1) ^ -(raw & 1)
        fields[number], at = _value(data, at, first & 15)


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        raw, at = _varint(data, at)
        return (raw >> 1) ^ -(raw & 1), at
    if kind == 8:
        length, at = _varint(data, at)
        return data[at : at + length], at + length
    if kind == 12:
        return _struct(data, at)
    raise ValueError(f"a field of kind {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _damaged(chunk: PlainChunk, reason: str) -> InputError:
    return InputError(Kind.UNREADABLE_DATASET, f"{chunk.path}: cannot be read: {reason}")
