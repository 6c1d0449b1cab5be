"""A graph compiled by OpenVINO for the processor, from any file that OpenVINO reads."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.batches import padded_batches
from beamscope.transforms.inference.model_settings import Precision

if TYPE_CHECKING:
    import openvino

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


def openvino_is_installed() -> bool:
    """Return whether the package is there; it comes with the extra ``cpu``."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> ModuleType:
    """Import the package when it is needed (half a second), and without its telemetry.

    Its import reports to its makers, from hospitals too. Where the module that sends the reports
    is not there, the package takes a stand-in that sends nothing.
    """
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino

    return cast(ModuleType, openvino)


def has_bfloat16() -> bool:
    """Return whether OpenVINO finds instructions for bfloat16 in this machine's processor."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoModel:
    """Embed images, one request for each processor at a time.

    A request stays on one processor and takes as few images as the graph allows: with one image,
    the values between layers stay in the caches, and processors never wait for one another.
    Several threads may use it at once.
    """

    def __init__(self, graph: Path | openvino.Model, features: int, precision: Precision) -> None:
        """Read a graph and compile it.

        Args:
          graph: from uint8 ``[images, size, size, 3]`` to float32 ``[images, D]``; its file may be
            deleted afterwards.
          features: D.
          precision: ``float32`` or ``bfloat16``.

        Raises:
          RuntimeError: OpenVINO cannot.
        """
        openvino = import_openvino()
        _call_once()
        self._features = features
        processors = len(os.sched_getaffinity(0))
        core = openvino.Core()
        model = core.read_model(graph) if isinstance(graph, Path) else graph
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                # Its default is bfloat16 wherever the processor has it.
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "NUM_STREAMS": processors,
                "INFERENCE_NUM_THREADS": processors,
                # Worker processes would all be pinned to the same processors.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._threads = ThreadPoolExecutor(processors, thread_name_prefix="openvino")
        self._local = threading.local()
        self._images: int = self._compiled.input(0).shape[0]

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed uint8 ``[n, size, size, 3]``, any n; float32 ``[n, D]``."""
        embeddings = np.empty((len(pixels), self._features), np.float32)

        def infer(start: int, count: int, batch: npt.NDArray[np.uint8]) -> None:
            embeddings[start : start + count] = self._infer(batch)[:count]

        # `map` starts them all; to go through its results raises what one of them raised.
        for _ in self._threads.map(infer, *zip(*padded_batches(pixels, self._images), strict=True)):
            pass
        return embeddings

    def _infer(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed one batch on this thread; the answer is valid until the thread's next call."""
        request = self._request()
        request.infer([batch], share_inputs=True)
        embeddings: npt.NDArray[np.float32] = request.get_output_tensor(0).data
        return embeddings

    def _request(self) -> openvino.InferRequest:
        request: openvino.InferRequest | None = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        return request


@functools.cache
def _call_once() -> None:
    """Let OpenVINO's bindings initialise themselves, which they do when they are first called.

    Two threads that do so at once wait for each other for ever: one holds the GIL, the other the
    C++ guard. So models are opened by one thread before others call them.
    """
    openvino = import_openvino()
    from openvino import opset13 as ops

    pixels = ops.parameter([1, 2], np.uint8)
    model = openvino.Model([ops.convert(pixels, "f32")], [pixels], "smallest")
    request = openvino.Core().compile_model(model, "CPU").create_infer_request()
    request.infer([np.zeros([1, 2], np.uint8)], share_inputs=True)
    _ = request.get_output_tensor(0).data
