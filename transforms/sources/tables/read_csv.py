"""Read a catalogue's CSV as a table of text, every cell as it is written.

Arrow reads a plain file, three times as fast. Python's `csv` reads what has quotes or is odd in
another way: Arrow cuts rows at line ends within quotes where its blocks end, and knows no lines.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import threading
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# The largest public catalogue, MIMIC-CXR's, has 60 MB.
LARGEST = 1 << 30
_LARGEST_CELL = 1 << 24
_ROWS_AT_ONCE = 1 << 14
_UTF8 = "utf-8-sig"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
# `csv` has one limit for a process.
_LIMIT_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class CsvTable:
    """A CSV in memory.

    Attributes:
      columns: text, without nulls; a cell that is blank is ''. Columns without a name are left out.
      lines: for each row the line of the file, counted from 1, on which it begins.
    """

    columns: pa.Table
    lines: npt.NDArray[np.int64]


def read_csv(data: bytes, delimiter: str = ",") -> CsvTable:
    """Read a CSV with a header: plain or gzipped, UTF-8 or, with a mark, UTF-16, any line ends.

    Rows that repeat the header, as in files joined by ``cat``, and rows without any text are left
    out.

    Args:
      data: the content of the file.
      delimiter: what separates cells, one character.

    Raises:
      InputError: ``unreadable_catalog``; its message has no text of a cell, which may be about a
        person.
    """
    data = _inflated(data)
    if len(data) > LARGEST:
        raise _unreadable(f"it has more than {LARGEST:,} bytes")
    encoding = _encoding(data[:512])
    plain = _read_plain(data, delimiter) if encoding == _UTF8 else None
    if plain is not None:
        return plain
    text = io.TextIOWrapper(io.BytesIO(data), encoding, newline="")
    try:
        with _LIMIT_LOCK:
            before = csv.field_size_limit(_LARGEST_CELL)
            try:
                return _read(text, delimiter)
            finally:
                csv.field_size_limit(before)
    except UnicodeDecodeError as error:
        raise _unreadable(f"it is not {error.encoding.upper()}; save it as UTF-8") from None


def _read_plain(data: bytes, delimiter: str) -> CsvTable | None:
    """Read a file in which each line is a row; return None for any other file."""
    if b'"' in data or data.count(b"\r") != data.count(b"\r\n"):
        return None
    names = data.removeprefix(codecs.BOM_UTF8).partition(b"\n")[0].split(delimiter.encode())
    header = [name.decode("utf-8", "replace").strip() for name in names]
    if not all(header) or len(set(header)) < len(header):
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(column_names=header, skip_rows=1),
            arrow_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    # A header again, or nothing at all.
    suspicious = pc.is_in(pc.utf8_trim_whitespace(table[0]), pa.array([header[0], ""]))
    if pc.any(suspicious).as_py():
        return None
    return CsvTable(table, np.arange(2, table.num_rows + 2))


def _read(text: io.TextIOWrapper, delimiter: str) -> CsvTable:
    rows = _rows(text, delimiter)
    first, *others = next(rows, (1, [""]))[1]
    header = [name.strip() for name in (first, *others)]
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise _unreadable(f"it has two columns {twice[0]!r}")
    chunks: list[list[pa.Array]] = []
    lines: list[int] = []
    batch: list[list[str]] = []

    def finish_batch() -> None:
        # Without a batch at all, columns have nothing to be made from.
        columns = list(zip(*batch, strict=True)) or [()] * len(header)
        chunks.append([pa.array(column, pa.string()) for column in columns])
        batch.clear()

    for line, row in rows:
        if len(row) != len(header):
            raise _unreadable(f"line {line} has {len(row)} columns, the header {len(header)}")
        if row[0] == first and [cell.strip() for cell in row] == header:
            continue
        if not any(row):
            continue
        batch.append(row)
        lines.append(line)
        if len(batch) == _ROWS_AT_ONCE:
            finish_batch()
    finish_batch()
    columns = [pa.chunked_array(parts, pa.string()) for parts in zip(*chunks, strict=True)]
    named = {name: column for name, column in zip(header, columns, strict=True) if name}
    return CsvTable(pa.table(named), np.asarray(lines, np.int64))


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that have cells, each with the line on which it begins."""
    # Strict, since a quote that nobody closed is otherwise taken for the end of the table.
    reader = csv.reader(text, strict=True, delimiter=delimiter)
    line = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _unreadable(f"in the row from line {line} on: {error} (a quote?)") from None
        if row is None:
            return
        if row:
            yield line, row
        line = reader.line_num + 1


def _inflated(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    found = bytearray()
    while data:
        engine = zlib.decompressobj(_GZIP_FORMAT)
        try:
            found += engine.decompress(data, LARGEST - len(found))
        except zlib.error:
            raise _unreadable("its compressed data is damaged") from None
        if not engine.eof:
            what = "is too large" if len(found) >= LARGEST else "ends too early"
            raise _unreadable(f"its compressed data {what}")
        data = engine.unused_data.lstrip(b"\0")
    return bytes(found)


def _encoding(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.startswith(b"PK\x03\x04"):
        raise _unreadable("it is a zip archive or an Excel workbook; save it as CSV")
    if b"\0" in start:
        raise _unreadable("it is no text, or UTF-16 without a mark; save it as UTF-8")
    return _UTF8


def _unreadable(reason: str) -> InputError:
    return InputError(Kind.UNREADABLE_CATALOG, reason)
