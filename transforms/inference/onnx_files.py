"""The files of an ONNX model: the graph, and the external data beside it.

An ONNX file is one message of protobuf (onnx.proto3 of onnx/onnx). What is asked here is found by
walking over its fields, so that weights are stepped over and never copied, whatever their size.
"""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from beamscope.transforms.inference.stand_ins import stand_in
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
_GRAPH, _TENSOR_NAME, _EXTERNAL_DATA = 7, 8, 13
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE = 1, 2, 4
# Of a tensor: int32_data, where lone truth values may be, and raw_data.
_VALUES = (5, 9)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


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
      drops_out: whether a Dropout of it is in training mode.
    """

    path: Path
    operations: frozenset[str]
    external: tuple[ExternalTensor, ...]
    drops_out: bool = False

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
    found = _Found()
    other = stand_in(path)
    if other is not None:
        raise _bad(path, other)
    if not path.stat().st_size:
        raise _bad(path, "is an empty file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            if not any(number == _GRAPH for number, _, _ in _fields(data, 0, len(data))):
                raise ValueError("no graph")
            _walk(data, found)
        except ValueError as error:
            raise _bad(
                path, f"is damaged, or no ONNX model ({error}): export or copy it again"
            ) from error
    for tensor in found.external:
        _check_location(path, tensor.location)
    drops_out = not found.switches.isdisjoint(found.true)
    return OnnxGraph(path, frozenset(found.operations), tuple(found.external), drops_out)


@dataclasses.dataclass
class _Found:
    """What a walk over a file collects.

    `switches` are the tensors that say whether a Dropout is in training mode, and `true` those that
    hold a lone true value.
    """

    operations: set[str] = dataclasses.field(default_factory=set)
    external: list[ExternalTensor] = dataclasses.field(default_factory=list)
    switches: set[str] = dataclasses.field(default_factory=set)
    true: set[str] = dataclasses.field(default_factory=set)


def _walk(data: mmap.mmap, found: _Found) -> None:
    """Collect what is looked for in the whole file."""
    # A list and no recursion: files from strangers may be nested as deep as they like. With each
    # message goes the name of the constant that it belongs to.
    waiting = [("model", 0, len(data), "")]
    while waiting:
        kind, start, end, constant = waiting.pop()
        if kind == "tensor":
            _read_tensor(data, start, end, constant, found)
            continue
        if kind == "node":
            constant = _read_node(data, start, end, found)
        inner = _MESSAGES[kind]
        waiting += [
            (inner[number], first, last, constant)
            for number, first, last in _fields(data, start, end)
            if number in inner
        ]


def _read_node(data: mmap.mmap, start: int, end: int, found: _Found) -> str:
    """Collect what a node is; return the name of its output where it is a constant."""
    texts: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _OP_TYPE: []}
    for number, first, last in _fields(data, start, end):
        if number in texts:
            texts[number].append(_text(data, first, last))
    operation = "".join(texts[_OP_TYPE])
    found.operations.add(operation)
    if operation == "Dropout":
        found.switches.update(texts[_NODE_INPUT][2:])
    return "".join(texts[_NODE_OUTPUT][:1]) if operation == "Constant" else ""


def _read_tensor(data: mmap.mmap, start: int, end: int, constant: str, found: _Found) -> None:
    """Collect where a tensor's values lie, if they lie elsewhere, and whether it is just true."""
    name, entries = constant, {}
    is_true = False
    for number, first, last in _fields(data, start, end):
        if number == _TENSOR_NAME:
            name = constant or _text(data, first, last)
        elif number in _VALUES:
            is_true |= data[first : min(last, first + 2)] == b"\x01"
        elif number == _EXTERNAL_DATA:
            pair = {key: _text(data, *where) for key, *where in _fields(data, first, last)}
            entries[pair.get(1, "")] = pair.get(2, "")
    if is_true:
        found.true.add(name)
    if entries:
        length = entries.get("length")
        found.external.append(
            ExternalTensor(
                name,
                entries.get("location", ""),
                int(entries.get("offset", 0)),
                None if length is None else int(length),
            )
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
