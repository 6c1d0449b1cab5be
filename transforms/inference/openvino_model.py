"""A frozen graph compiled by OpenVINO for the processor."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
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

    from beamscope.transforms.inference.backends.saved_model.freezing import FrozenGraph

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}

_first_call = threading.Lock()


def openvino_is_installed() -> bool:
    """Whether the package is there; it comes with the extra ``cpu``."""
    return importlib.util.find_spec("openvino") is not None


def _import_openvino() -> ModuleType:
    """The package, imported when it is needed (half a second), and without its telemetry.

    Its import reports to its makers, from hospitals too. Without the module that would send them,
    it takes a stand-in that sends nothing.
    """
    sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))
    import openvino

    return cast(ModuleType, openvino)


def has_bfloat16() -> bool:
    """Whether OpenVINO finds instructions for bfloat16 in this machine's processor."""
    return "BF16" in _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoModel:
    """Embeds images, one request for each processor at a time.

    A request stays on one processor and takes as few images as the graph allows: with one, what
    passes from layer to layer stays in the caches, and processors never wait for one another.
    Safe to use from several threads.
    """

    def __init__(self, frozen: FrozenGraph, features: int, precision: Precision) -> None:
        """Compiles the graph, for ``float32`` or ``bfloat16``.

        Raises:
          RuntimeError: OpenVINO cannot.
        """
        openvino = _import_openvino()
        self._images, self._features = frozen.images, features
        processors = len(os.sched_getaffinity(0))
        core = openvino.Core()
        with tempfile.TemporaryDirectory(prefix="beamscope-") as folder:
            path = Path(folder) / "frozen.pb"
            path.write_bytes(frozen.graph.SerializeToString())
            model = core.read_model(path)
        self._compiled = core.compile_model(
            model,
            "CPU",
            {
                # By itself it would take bfloat16 wherever the processor has it.
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "NUM_STREAMS": processors,
                "INFERENCE_NUM_THREADS": processors,
                # Worker processes would all be pinned to the same processors.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._threads = ThreadPoolExecutor(processors, thread_name_prefix="openvino")
        self._local = threading.local()
        # OpenVINO's bindings set up what they need when they are first called, and two threads that
        # do so at once wait for each other for ever: one gets the GIL, the other the C++ guard.
        with _first_call:
            size = self._compiled.input(0).shape[1]
            self._infer(np.zeros((frozen.images, size, size, 3), np.uint8))

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embeds uint8 ``[n, size, size, 3]``, any n; float32 ``[n, D]``."""
        embeddings = np.empty((len(pixels), self._features), np.float32)

        def infer(start: int, count: int, batch: npt.NDArray[np.uint8]) -> None:
            embeddings[start : start + count] = self._infer(batch)[:count]

        # `map` starts them all; to go through its results raises what one of them raised.
        for _ in self._threads.map(infer, *zip(*padded_batches(pixels, self._images), strict=True)):
            pass
        return embeddings

    def _infer(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embeds one batch on this thread; the answer holds until the thread's next."""
        request = self._request()
        request.infer([batch], share_inputs=True)
        embeddings: npt.NDArray[np.float32] = request.get_output_tensor(0).data
        return embeddings

    def _request(self) -> openvino.InferRequest:
        request: openvino.InferRequest | None = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        return request
