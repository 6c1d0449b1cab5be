"""ONNX files in memory, called as they are by onnxruntime or by OpenVINO."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.openvino_model import import_openvino, openvino_is_installed
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# onnxruntime's names of element types -> NumPy's.
_DTYPES = {"float": "float32", "double": "float64"}
# Of its log levels: errors are raised, and need not be printed too.
_FATAL = 4
# An ONNX model of one Identity, by which a GPU is looked for; written by hand after onnx.proto3:
# version 8 of the format; a graph with a node, its name, an input x and an output y, both float
# [1]; operations of version 13.
_IDENTITY = (
    b"\x08\x08"
    b"\x3a\x37"
    b"\x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity"
    b"\x12\x01g"
    b"\x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01"
    b"\x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01"
    b"\x42\x02\x10\x0d"
)


@dataclasses.dataclass(frozen=True)
class OnnxTensor:
    """An input of an ONNX file.

    Attributes:
      name: of the input.
      shape: None for a length that the model leaves open; None where not even the number of axes
        is known.
      dtype: NumPy's name of the element type, or the library's where NumPy has none.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


class OnnxSession(Protocol):
    """An ONNX file in memory. Several threads may call it at once.

    Attributes:
      inputs: what has to be given.
      outputs: names of what can be asked for.
    """

    inputs: tuple[OnnxTensor, ...]
    outputs: tuple[str, ...]

    def run(
        self, given: Mapping[str, npt.NDArray[Any]], wanted: str | None = None
    ) -> dict[str, Any]:
        """Return the outputs by their names, or only the wanted one."""
        ...


def onnxruntime_is_installed() -> bool:
    """Return whether onnxruntime is there; it comes with the extra ``onnx``."""
    return importlib.util.find_spec("onnxruntime") is not None


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime when it is needed, without its messages and its telemetry."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(_FATAL)
    onnxruntime.disable_telemetry_events()
    return cast(ModuleType, onnxruntime)


def onnxruntime_gpus() -> list[str]:
    """Return the names of what onnxruntime computes on beside the processor: a GPU, or nothing.

    That its build has CUDA says nothing about a driver: only a session that is made there does.
    """
    if not onnxruntime_is_installed():
        return []
    runtime = import_onnxruntime()
    if CUDA not in runtime.get_available_providers():
        return []
    try:
        session = runtime.InferenceSession(_IDENTITY, providers=[CUDA])
    except Exception:  # noqa: BLE001  Whatever CUDA raises without a device.
        return []
    return ["onnxruntime:CUDA:0"] if CUDA in session.get_providers() else []


def onnxruntime_may_have_gpus() -> bool:
    """Return whether onnxruntime's build has CUDA, told by its files, without importing it."""
    found = importlib.util.find_spec("onnxruntime")
    folders = (found.submodule_search_locations if found is not None else None) or []
    return any(
        True
        for folder in folders
        for _ in Path(folder, "capi").glob("*onnxruntime_providers_cuda*")
    )


def check_onnx_packages(shown: str) -> None:
    """Raise InputError (``missing_package``) where nothing that is installed reads ONNX."""
    if not (onnxruntime_is_installed() or openvino_is_installed()):
        raise InputError(
            Kind.MISSING_PACKAGE,
            f"model {shown}: ONNX needs OpenVINO or onnxruntime: pip install 'beamscope[cpu,onnx]'",
        )


class OnnxRuntimeSession:
    """An ONNX file in onnxruntime, on a GPU where it sees one, in float32 without TF32."""

    def __init__(self, path: Path, *, gpu: bool = False) -> None:
        """Load a file.

        Raises:
          Exception: of onnxruntime's own kinds, where it cannot.
        """
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        # TF32 rounds the factors of products to 10 bits.
        providers: list[Any] = [(CUDA, {"use_tf32": "0"})] if gpu else []
        self._session = runtime.InferenceSession(str(path), options, providers=[*providers, _CPU])
        self.inputs = tuple(_runtime_tensor(each) for each in self._session.get_inputs())
        self.outputs = tuple(each.name for each in self._session.get_outputs())

    def run(
        self, given: Mapping[str, npt.NDArray[Any]], wanted: str | None = None
    ) -> dict[str, Any]:
        """Return the outputs by their names, or only the wanted one."""
        names = self.outputs if wanted is None else (wanted,)
        answers = self._session.run(list(names), dict(given))
        return dict(zip(names, answers, strict=True))


class OpenVinoSession:
    """An ONNX file in OpenVINO, on the processor in float32, with the shapes that it has."""

    def __init__(self, path: Path) -> None:
        """Load a file.

        Raises:
          RuntimeError: OpenVINO cannot.
        """
        core = import_openvino().Core()
        model = core.read_model(path)
        self.inputs = tuple(_openvino_tensor(port) for port in model.inputs)
        # Of the file: a compiled graph adds names of its own.
        self.outputs = tuple(port.get_any_name() for port in model.outputs)
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = core.compile_model(model, "CPU", options)
        self._lock = threading.Lock()

    def run(
        self, given: Mapping[str, npt.NDArray[Any]], wanted: str | None = None
    ) -> dict[str, Any]:
        """Return the outputs by their names, or only the wanted one."""
        # The compiled model has one request of its own.
        with self._lock:
            answers = [np.array(value) for value in self._compiled(dict(given)).to_tuple()]
        found = dict(zip(self.outputs, answers, strict=True))
        return found if wanted is None else {wanted: found[wanted]}


def _runtime_tensor(argument: Any) -> OnnxTensor:
    # A type is written as `tensor(float)`; a sequence has no tensor(…) around it.
    dtype = argument.type.removeprefix("tensor(").removesuffix(")")
    shape = argument.shape
    # A length that is open has a name, or none.
    sizes = None if shape is None else tuple(n if isinstance(n, int) else None for n in shape)
    return OnnxTensor(argument.name, sizes, _DTYPES.get(dtype, dtype))


def _openvino_tensor(port: Any) -> OnnxTensor:
    shape = port.partial_shape
    sizes = (
        None
        if shape.rank.is_dynamic
        else tuple(None if size.is_dynamic else size.get_length() for size in shape)
    )
    kind = port.element_type
    name = "bfloat16" if kind.get_type_name() == "bf16" else np.dtype(kind.to_dtype()).name
    return OnnxTensor(port.get_any_name(), sizes, name)
