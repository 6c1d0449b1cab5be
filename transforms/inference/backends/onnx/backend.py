"""The backend of ONNX models; onnxruntime and OpenVINO are imported when it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beamscope.transforms.inference.backends.base import Backend
from beamscope.transforms.inference.backends.onnx.compilers import OpenVino
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.onnx_files import onnx_file, onnx_files_in
from beamscope.transforms.inference.onnx_sessions import (
    import_onnxruntime,
    onnxruntime_gpus,
    onnxruntime_is_installed,
)
from beamscope.transforms.inference.openvino_model import import_openvino, openvino_is_installed
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.onnx.loading import OnnxModel


class OnnxBackend(Backend["OnnxModel"]):
    """Open an ONNX file, with its external data beside it, or the directory that holds one."""

    name = "onnx"
    summary = "an ONNX model"
    library = "onnxruntime"
    compilers = (OpenVino(),)

    def refusal(self, path: Path) -> str | None:
        """Return why a path is neither an ONNX file nor a directory with one; None where it is."""
        if onnx_file(path) is not None:
            return None
        if not path.is_dir():
            return "not an .onnx file"
        found = [file.name for file in onnx_files_in(path)]
        if not found:
            return "nor an .onnx file"
        return f"it holds {len(found)} ONNX files ({', '.join(found)}): name one of them"

    def start(self) -> None:
        """Import what is installed of onnxruntime and OpenVINO."""
        if onnxruntime_is_installed():
            import_onnxruntime()
        if openvino_is_installed():
            import_openvino()

    def gpus(self) -> list[str]:
        """Return the names of the GPUs that onnxruntime can compute on."""
        return onnxruntime_gpus()

    def require_gpu(self) -> None:
        """Raise InputError (``no_gpu``) unless onnxruntime can compute on a GPU."""
        if not self.gpus():
            raise InputError(
                Kind.NO_GPU,
                "a GPU is required, and onnxruntime sees none: an ONNX model needs the package "
                "onnxruntime-gpu in the place of onnxruntime, and CUDA (docs/models.md)",
            )

    def load(self, path: Path, settings: ModelSettings) -> OnnxModel:
        """Load an ONNX model, see `loading.load`."""
        from beamscope.transforms.inference.backends.onnx.loading import load

        return load(path, settings)


ONNX = OnnxBackend()
