"""The compilers of SavedModels; each imports what it needs when it compiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beamscope.transforms.inference.backends.base import (
    SECONDS_PER_BYTE,
    Compiled,
    Compiler,
    Embed,
    KeptCompiler,
)
from beamscope.transforms.inference.model_settings import ModelSpec, Precision
from beamscope.transforms.inference.openvino_model import (
    OpenVinoModel,
    has_bfloat16,
    openvino_is_installed,
)

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.saved_model.loading import SavedModel

# Of Nvidia, AMD, and of either in Windows' own Linux.
_GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
_NO_BFLOAT16 = "this processor does not have it"


class OpenVino(KeptCompiler["SavedModel"]):
    """Freeze the variables to constants, and compile with OpenVINO."""

    name = "openvino"
    summary = "variables frozen to constants, compiled by OpenVINO for the processor"
    precisions = ("float32", "bfloat16")
    for_processors = True
    packages = ("openvino", "tensorflow")
    seconds_per_byte = SECONDS_PER_BYTE

    def missing(self, precision: Precision) -> str | None:
        """Return why OpenVINO cannot be used; None where it can."""
        if not openvino_is_installed():
            return "the package openvino is not installed: pip install 'beamscope[cpu]'"
        if precision == "bfloat16" and not has_bfloat16():
            return _NO_BFLOAT16
        return None

    def is_automatic(self) -> bool:
        """Return whether OpenVINO is installed, and nothing better than the processor is there."""
        return openvino_is_installed() and not _gpus()

    def is_certain(self) -> bool:
        """Return whether it is automatic, told by devices: TensorFlow takes seconds to tell."""
        return openvino_is_installed() and not any(
            found for pattern in _GPU_DEVICES for found in Path("/dev").glob(pattern)
        )

    def write(self, loaded: SavedModel, folder: Path) -> str:
        """Write a SavedModel as files for OpenVINO."""
        from beamscope.transforms.inference.backends.saved_model.compiling import (
            write_for_openvino,
        )

        return write_for_openvino(loaded, folder)

    def open(self, folder: Path, spec: ModelSpec) -> Embed:
        """Compile those files; where they stay, processes share the pages of the weights."""
        path = folder / "model.xml"
        if not path.exists():
            path = folder / "frozen.pb"
        return OpenVinoModel(path, spec.features, spec.precision)


class Xla(Compiler["SavedModel"]):
    """Freeze the variables to constants, and compile with XLA."""

    name = "xla"
    summary = "frozen, compiled by XLA"
    precisions = ("float32", "float16")

    def missing(self, precision: Precision) -> str | None:
        """Return why XLA cannot compile for a precision; None where it can."""
        if precision == "float16" and not _gpus():
            return "TensorFlow sees no GPU here"
        return None

    def compile(self, loaded: SavedModel) -> Compiled:
        """Compile a SavedModel with XLA."""
        from beamscope.transforms.inference.backends.saved_model.compiling import with_xla

        return with_xla(loaded)


class Graph(Compiler["SavedModel"]):
    """Freeze the variables to constants, and run TensorFlow's own kernels."""

    name = "graph"
    summary = "frozen only, run by TensorFlow's own kernels"
    precisions = ("float32", "bfloat16")

    def missing(self, precision: Precision) -> str | None:
        """Return why the processor cannot compute in a precision; None where it can."""
        if precision == "bfloat16" and not processor_has_bfloat16():
            return _NO_BFLOAT16
        return None

    def is_automatic(self) -> bool:
        """Return False: one of the others is always faster."""
        return False

    def compile(self, loaded: SavedModel) -> Compiled:
        """Freeze a SavedModel."""
        from beamscope.transforms.inference.backends.saved_model.compiling import with_graph

        return with_graph(loaded)


def processor_has_bfloat16() -> bool:
    """Return whether this processor has instructions for bfloat16.

    TensorFlow does not tell: it would compute in float32 and round.
    """
    flags = Path("/proc/cpuinfo").read_text(errors="replace").split()
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def _gpus() -> list[str]:
    from beamscope.transforms.inference.backends.saved_model import devices

    return devices.gpus()
