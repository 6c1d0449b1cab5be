"""The files of an ONNX model: the graph, and the external data beside it.

An ONNX file is one message of protobuf (onnx.proto3 of onnx/onnx). What is asked here is found by
walking over its fields, so that weights are stepped over and never copied, whatever their size.
"""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

SUFFIX = ".onnx"
# A directory with one of these is a SavedModel, whatever else lies in it.
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")

# A message type -> {number of a field: the message type that it holds}, of onnx.proto3. Fields that
# can hold neither operations nor tensors are left out, and stepped over.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_GRAPH, _OP_TYPE, _TENSOR_NAME, _EXTERNAL_DATA = 7, 4, 8, 13
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# What a file of another kind begins with -> what it is, and what to do.
_OTHERS = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the model: run git lfs pull",
    b"<!DOCTYPE": "is a web page: download the model itself",
    b"<html": "is a web page: download the model itself",
}


@dataclasses.dataclass(frozen=True)
class ExternalTensor:
    """Where the values of a tensor lie outside of the graph's file.

    Attributes:
      name: of the tensor.
      location: path of the file, relative to the graph's directory, with slashes.
      offset: of the first byte of the tensor in that file.
      length: in bytes; None for all that follows.
    """

    name: str
    location: str
    offset: int
    length: int | None


@dataclasses.dataclass(frozen=True)
class OnnxGraph:
    """What is known of an ONNX file without loading it.

    Attributes:
      path: of the file.
      operations: the types of its nodes, those of subgraphs and functions included.
      external: its tensors whose values lie in other files.
    """

    path: Path
    operations: frozenset[str]
    external: tuple[ExternalTensor, ...]

    @property
    def data_files(self) -> tuple[str, ...]:
        """The files of external data, relative to the directory, in order of their names."""
        return tuple(sorted({tensor.location for tensor in self.external}))

    def check_data(self) -> None:
        """Check that every file of external data is there, and long enough.

        Raises:
          InputError: ``bad_model``.
        """
        for tensor in self.external:
            file = self.path.parent / tensor.location
            if not file.is_file():
                raise _bad(
                    self.path,
                    f"its external data {tensor.location} is not beside it: copy that file into "
                    "the same directory",
                )
            size = file.stat().st_size
            if size < tensor.offset + (tensor.length or 0):
                raise _bad(
                    self.path,
                    f"its external data {tensor.location} is cut off: it has {size:,} bytes, and "
                    f"the tensor {tensor.name} ends at {tensor.offset + (tensor.length or 0):,}",
                )


def is_onnx(name: str) -> bool:
    """Return whether a path or URI has the suffix of an ONNX file."""
    return name.lower().endswith(SUFFIX)


def onnx_files_in(directory: Path) -> list[Path]:
    """Return the ONNX files of a directory, hidden ones left out; none for a SavedModel."""
    if any((directory / name).is_file() for name in _SAVED_MODEL):
        return []
    return sorted(
        file
        for file in directory.iterdir()
        if is_onnx(file.name) and not file.name.startswith(".") and file.is_file()
    )


def onnx_file(path: Path) -> Path | None:
    """Return the ONNX file that a path means: itself, or the only one of a directory; else None."""
    if path.is_dir():
        found = onnx_files_in(path)
        return found[0] if len(found) == 1 else None
    return path if is_onnx(path.name) and path.is_file() else None


def read_onnx(path: Path) -> OnnxGraph:
    """Find the operations and the external data of an ONNX file.

    Raises:
      InputError: ``bad_model`` where it is no ONNX file or is cut off, or names external data
        outside of its directory.
    """
    operations: set[str] = set()
    external: list[ExternalTensor] = []
    with path.open("rb") as file:
        start = file.read(32)
        for known, what in _OTHERS.items():
            if start.lower().startswith(known.lower()):
                raise _bad(path, what)
        if not start:
            raise _bad(path, "is an empty file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                if not any(number == _GRAPH for number, _, _ in _fields(data, 0, len(data))):
                    raise ValueError("no graph")
                _walk(data, "model", 0, len(data), operations, external)
            except ValueError as error:
                raise _bad(
                    path, f"is damaged, or no ONNX model ({error}): export or copy it again"
                ) from error
    for tensor in external:
        _check_location(path, tensor.location)
    return OnnxGraph(path, frozenset(operations), tuple(external))


def _walk(
    data: mmap.mmap,
    kind: str,
    start: int,
    end: int,
    operations: set[str],
    external: list[ExternalTensor],
) -> None:
    """Collect the operations and the external tensors of a message at ``data[start:end]``."""
    # A list and no recursion: files from strangers may be nested as deep as they like.
    waiting = [(kind, start, end)]
    while waiting:
        kind, start, end = waiting.pop()
        if kind == "tensor":
            external.extend(_external(data, start, end))
            continue
        inner = _MESSAGES[kind]
        for number, first, last in _fields(data, start, end):
            if kind == "node" and number == _OP_TYPE:
                operations.add(_text(data, first, last))
            elif number in inner:
                waiting.append((inner[number], first, last))


def _external(data: mmap.mmap, start: int, end: int) -> Iterator[ExternalTensor]:
    """Yield where a tensor's values lie, if they lie elsewhere."""
    name, entries = "", {}
    for number, first, last in _fields(data, start, end):
        if number == _TENSOR_NAME:
            name = _text(data, first, last)
        elif number == _EXTERNAL_DATA:
            pair = {key: _text(data, *where) for key, *where in _fields(data, first, last)}
            entries[pair.get(1, "")] = pair.get(2, "")
    if entries:
        length = entries.get("length")
        yield ExternalTensor(
            name,
            entries.get("location", ""),
            int(entries.get("offset", 0)),
            None if length is None else int(length),
        )


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each field of bytes of a message, and where its content is.

    Raises:
      ValueError: the bytes are no message.
    """
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"no field begins at byte {at:,}")
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise ValueError(f"{at + size - end:,} bytes are missing at its end")
            yield number, at, at + size
            at += size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"no field begins at byte {at:,}")
    if at > end:
        raise ValueError(f"{at - end:,} bytes are missing at its end")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("its end is missing")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"no number ends at byte {at:,}")


def _text(data: mmap.mmap, start: int, end: int) -> str:
    return data[start:end].decode(errors="replace")


def _check_location(path: Path, location: str) -> None:
    """Raise InputError (``bad_model``) where external data would lie outside of the directory."""
    parts = PurePosixPath(location)
    if not location:
        raise _bad(path, "names external data without a location")
    if parts.is_absolute() or ".." in parts.parts or "\\" in location or ":" in location:
        raise _bad(
            path,
            f"its external data {location} would lie outside of its directory, which is refused: "
            "export it with its data beside it",
        )


def _bad(path: Path, message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, f"model {path.name}: {message}")
