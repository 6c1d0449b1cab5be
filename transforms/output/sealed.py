"""Sealed files: Arrow streams that show at once whether they are what was written.

A sealed file is an Arrow IPC stream, which any Arrow library reads, and a seal behind it: a header
of JSON values, the lengths and the CRC-32C of both, and a mark. The header names the file's own
place in the output, so that a file of another place is not taken for this one.

The seal is at the end, so that one request for the last bytes of a remote file tells what the file
holds. Where a store counts a CRC-32C of each object itself, as Google's does, that request also
verifies the whole file: the seal determines what the store must have counted.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import google_crc32c
import pyarrow as pa

from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

# Length and CRC of the stream, length of the header; then the CRC of the header and of these three,
# and the mark.
_FIELDS = struct.Struct("<QII")
_END = struct.Struct("<I8s")
_MARK = b"bsseal1\n"
# Most headers are shorter: a few hundred bytes, or some 100 for each problem.
_TAIL_BYTES = 16 << 10
_PIECE_BYTES = 64 << 10


class DamagedError(Exception):
    """A file is not what was written.

    Attributes:
      path: of the file.
      reason: what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[DamagedError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


def write_sealed(
    path: str,
    header: Mapping[str, Any],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    options: pa.ipc.IpcWriteOptions | None = None,
) -> None:
    """Write a sealed file; dataclasses in the header become JSON objects."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options) as stream:
        for batch in batches:
            stream.write_batch(batch)
    content = sink.getvalue().to_pybytes()
    named = {"place": place_of(path), **header}
    encoded = json.dumps(named, default=dataclasses.asdict).encode()
    fields = _FIELDS.pack(len(content), google_crc32c.value(content), len(encoded))
    end = _END.pack(google_crc32c.value(encoded + fields), _MARK)
    with files.atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.write(encoded + fields + end)


def read_sealed(file: str | files.FileInfo) -> tuple[dict[str, Any], pa.RecordBatchReader]:
    """Return the header and the stream of a sealed file, all of it read and verified.

    Raises:
      DamagedError: it is not what was written.
      OSError: it is not there, or cannot be read.
    """
    if isinstance(file, str):
        # All of it by one request: its size need not be asked for before.
        data = files.read_bytes(file)
        found = files.FileInfo(file, len(data))
    else:
        found = file
        data = _read(found, 0)
    seal = _seal(found, data)
    content = data[: seal.content]
    if google_crc32c.value(content) != seal.crc:
        raise DamagedError(found.path, "its content does not have its checksum")
    try:
        return seal.header, pa.ipc.open_stream(pa.py_buffer(content))
    except pa.ArrowInvalid as error:
        raise DamagedError(found.path, "its content is no Arrow stream") from error


def read_header(file: str | files.FileInfo) -> dict[str, Any]:
    """Return the header of a sealed file, itself verified, from the last bytes of the file.

    The rest of the file is verified too where the store has counted its checksum (`FileInfo`).

    Raises:
      DamagedError: it is not what was written.
      OSError: it is not there, or cannot be read.
    """
    found = _found(file)
    seal = _seal_at_end(found)
    if found.crc32c is not None and found.crc32c != google_crc32c.extend(seal.crc, seal.written):
        raise DamagedError(found.path, "its content does not have its checksum")
    return seal.header


def _seal_at_end(found: files.FileInfo) -> _Seal:
    tail = _read(found, max(0, found.size - _TAIL_BYTES))
    fields = tail[-_END.size - _FIELDS.size : -_END.size]
    if len(fields) == _FIELDS.size:
        needed = _FIELDS.unpack(fields)[2] + _FIELDS.size + _END.size
        if len(tail) < needed <= found.size:
            tail = _read(found, found.size - needed)
    return _seal(found, tail)


def check_sealed(file: files.FileInfo) -> dict[str, Any]:
    """Return the header of a sealed file of which all is verified, without reading it if possible.

    Raises:
      DamagedError: it is not what was written.
      OSError: it cannot be read.
    """
    if file.crc32c is not None:
        return read_header(file)
    seal = _seal_at_end(file)
    # In pieces that fit into the processor's cache: several times as fast as a part at a time.
    with files.open_read(file.path) as opened:
        left, crc = seal.content, 0
        while left and (piece := opened.read(min(left, _PIECE_BYTES))):
            crc = google_crc32c.extend(crc, piece)
            left -= len(piece)
    if left or crc != seal.crc:
        raise DamagedError(file.path, "its content does not have its checksum")
    return seal.header


def place_of(path: str) -> str:
    """Return where a file lies below the folder of an output's work; its name if not there."""
    _, found, place = path.rpartition(f"/{WORK_DIRECTORY}/")
    return place if found else path.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class _Seal:
    """The seal of a file: its header, length and CRC of the content, and the seal as written."""

    header: dict[str, Any]
    content: int
    crc: int
    written: bytes


def _seal(found: files.FileInfo, tail: bytes) -> _Seal:
    """Return the seal at the end of the last bytes of a file."""
    path, size = found.path, found.size
    if not size:
        raise DamagedError(path, "it is empty")
    if len(tail) < _FIELDS.size + _END.size or not tail.endswith(_MARK):
        raise DamagedError(path, "its end is missing, or it is another file")
    content, crc, length = _FIELDS.unpack(tail[-_END.size - _FIELDS.size : -_END.size])
    whole = length + _FIELDS.size + _END.size
    if content + whole != size or whole > len(tail):
        raise DamagedError(path, "it does not have the length that was written")
    written = tail[-whole:]
    if google_crc32c.value(written[: -_END.size]) != _END.unpack(written[-_END.size :])[0]:
        raise DamagedError(path, "its header does not have its checksum")
    header: dict[str, Any] = json.loads(written[:length])
    if header["place"] != place_of(path):
        raise DamagedError(path, f"it was written as {header['place']}")
    return _Seal(header, content, crc, written)


def _found(file: str | files.FileInfo) -> files.FileInfo:
    return files.stat(file) if isinstance(file, str) else file


def _read(found: files.FileInfo, start: int) -> bytes:
    try:
        return files.read_from(found, start)
    except InputError as error:
        if error.kind == Kind.MISSING_FILE:
            raise FileNotFoundError(error.message) from error
        raise
