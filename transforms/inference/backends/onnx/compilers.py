"""The compiler of ONNX models: OpenVINO, for processors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from beamscope.transforms.inference.backends.base import Compiled, Embed, KeptCompiler
from beamscope.transforms.inference.model_settings import ModelSpec, Precision
from beamscope.transforms.inference.onnx_sessions import (
    onnxruntime_gpus,
    onnxruntime_may_have_gpus,
)
from beamscope.transforms.inference.openvino_model import (
    OpenVinoModel,
    has_bfloat16,
    import_openvino,
    openvino_is_installed,
)

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.onnx.loading import OnnxModel

_FILE = "model.xml"


class OpenVino(KeptCompiler["OnnxModel"]):
    """Compile the graph with OpenVINO, the way from bytes and the pooling included."""

    name = "openvino"
    summary = "compiled by OpenVINO for the processor"
    precisions = ("float32", "bfloat16")
    for_processors = True
    packages = ("openvino", "onnxruntime", "onnxruntime-gpu")

    def missing(self, precision: Precision) -> str | None:
        """Return why OpenVINO cannot be used; None where it can."""
        if not openvino_is_installed():
            return "the package openvino is not installed: pip install 'beamscope[cpu]'"
        if precision == "bfloat16" and not has_bfloat16():
            return "this processor does not have it"
        return None

    def is_automatic(self) -> bool:
        """Return whether OpenVINO is installed, and nothing better than the processor is there."""
        return openvino_is_installed() and not onnxruntime_gpus()

    def is_certain(self) -> bool:
        """Return whether it is automatic, told by onnxruntime's files: its import takes time."""
        return openvino_is_installed() and not onnxruntime_may_have_gpus()

    def compile(self, loaded: OnnxModel) -> Compiled:
        """Compile an ONNX model with OpenVINO, which maps the weights of its file."""
        from beamscope.transforms.inference.backends.onnx.openvino_graph import embedding_graph

        graph = embedding_graph(loaded.graph.path, loaded.spec)
        return Compiled(OpenVinoModel(graph, loaded.spec.features, loaded.spec.precision))

    def write(self, loaded: OnnxModel, folder: Path) -> str:
        """Write an ONNX model as files for OpenVINO."""
        from beamscope.transforms.inference.backends.onnx.openvino_graph import embedding_graph

        graph = embedding_graph(loaded.graph.path, loaded.spec)
        # Its default is float16.
        import_openvino().save_model(graph, folder / _FILE, compress_to_fp16=False)
        return ""

    def open(self, folder: Path, spec: ModelSpec) -> Embed:
        """Compile those files; where they stay, processes share the pages of the weights."""
        return OpenVinoModel(folder / _FILE, spec.features, spec.precision)
