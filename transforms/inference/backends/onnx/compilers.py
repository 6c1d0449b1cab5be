"""The compiler of ONNX models: OpenVINO, for processors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamscope.transforms.inference.backends.base import Compiled, Compiler
from beamscope.transforms.inference.model_settings import Precision
from beamscope.transforms.inference.onnx_sessions import onnxruntime_gpus
from beamscope.transforms.inference.openvino_model import has_bfloat16, openvino_is_installed

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.onnx.loading import OnnxModel


class OpenVino(Compiler["OnnxModel"]):
    """Compile the graph with OpenVINO, the way from bytes and the pooling included."""

    name = "openvino"
    summary = "compiled by OpenVINO for the processor"
    precisions = ("float32", "bfloat16")
    for_processors = True

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

    def compile(self, loaded: OnnxModel) -> Compiled:
        """Compile an ONNX model with OpenVINO."""
        from beamscope.transforms.inference.backends.onnx.openvino_graph import embedding_graph
        from beamscope.transforms.inference.openvino_model import OpenVinoModel

        graph = embedding_graph(loaded.graph.path, loaded.spec)
        return Compiled(OpenVinoModel(graph, loaded.spec.features, loaded.spec.precision))
