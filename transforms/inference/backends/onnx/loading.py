"""Load an ONNX model, and find out how it is called."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.backends.base import LoadedModel
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.calling import Answer, Callee, find_spec
from beamscope.transforms.inference.input_shapes import ImageInput, image_inputs
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_settings import INPUT_DTYPES, ModelSettings, ModelSpec
from beamscope.transforms.inference.onnx_files import OnnxGraph, onnx_file, read_onnx
from beamscope.transforms.inference.onnx_sessions import (
    OnnxRuntimeSession,
    OnnxSession,
    OnnxTensor,
    OpenVinoSession,
    check_onnx_packages,
    onnxruntime_gpus,
    onnxruntime_is_installed,
)
from beamscope.transforms.inference.output_shapes import OutputReading, pooled
from beamscope.transforms.inference.preprocessing import PixelMap
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

# The operations of ONNX that draw random numbers; a Dropout draws only where it is in training.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
     "RandomUniformLike"}
)  # fmt: skip
# NumPy has no bfloat16 of its own.
_DTYPES = tuple(dtype for dtype in INPUT_DTYPES if dtype != "bfloat16")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class OnnxModel(LoadedModel):
    """An ONNX model in memory, with everything that was found out about calling it.

    Attributes:
      spec: how it is called.
      settings: what was asked for.
      graph: its file, and what is known without loading it.
      session: what calls it as it is.
    """

    spec: ModelSpec
    settings: ModelSettings
    graph: OnnxGraph
    session: OnnxSession

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed any number of images by the plain call; see `LoadedModel.embed`."""
        return embed_in_batches(self.answer, pixels, self.batch_size, self.spec.features)

    def answer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Call the model once with exactly these images; see `LoadedModel.answer`."""
        spec = self.spec
        images = _prepared(
            pixels, spec.pixel_map(), spec.input_dtype, spec.input_layout, spec.input_channels
        )
        (output,) = self.session.run({spec.input_name: images}, self._output()).values()
        reading = OutputReading(spec.output_layout, spec.pooling, spec.first_patch, spec.features)
        return pooled(output.astype(np.float32, copy=False), reading)

    def draws_random_numbers(self) -> bool:
        """Return whether the graph has operations that draw random numbers."""
        return not _RANDOM.isdisjoint(self.graph.operations)

    def _output(self) -> str:
        return self.spec.output_key or self.session.outputs[0]


def load(path: Path, settings: ModelSettings) -> OnnxModel:
    """Load an ONNX model and try it on a grey image.

    Args:
      path: of the file, or of a directory that holds one; external data lies beside the file.
      settings: how the user wants it called.

    Raises:
      InputError: ``bad_model`` where it cannot be loaded, is ambiguous, contradicts the settings,
        or does not give one finite embedding for an image; ``missing_package`` where neither
        onnxruntime nor OpenVINO is installed; ``bad_option`` for a flag of other models.
    """
    # The backend of a model is a singleton; its module is imported here to avoid a circle.
    from beamscope.transforms.inference.backends.onnx.backend import ONNX

    name = model_name(settings.uri)
    for flag, value in (("tags", settings.tags), ("signature", settings.signature)):
        if value is not None:
            raise InputError(
                Kind.BAD_OPTION,
                f"--{flag}: model {name} is an ONNX model, which has none: leave the flag out",
            )
    check_onnx_packages(name)
    file = onnx_file(path)
    assert file is not None, "the backend opens nothing else"
    graph = read_onnx(file)
    graph.check_data()
    if graph.drops_out:
        raise _bad(
            f"model {name}: has a Dropout in training mode, so that chance is a part of its "
            "answers: export it for inference (model.eval())"
        )
    session = _session(name, file)
    image = _image_input(name, session, settings)
    readings = image_inputs(image.shape, settings.input_layout)
    if not readings:
        if settings.input_layout and image_inputs(image.shape):
            raise _bad(
                f"model {name}: its input {_described(image)} does not have the channels where "
                f"--input_layout {settings.input_layout} says: leave the flag out"
            )
        raise _bad(
            f"model {name}: its input {_described(image)} is no batch of images: export it again "
            "for one [batch, 3, height, width] (docs/models.md)"
        )

    def call(
        pixels: npt.NDArray[np.uint8], arithmetic: PixelMap, reading: ImageInput
    ) -> Mapping[str, Answer]:
        images = _prepared(pixels, arithmetic, image.dtype, reading.layout, reading.channels)
        return {key: _answer(value) for key, value in session.run({image.name: images}).items()}

    callee = Callee(
        called="graph",
        input_name=image.name,
        dtype=image.dtype,
        readings=readings,
        call=call,
        reason=lambda error: f"{one_line(error)}: are --input_size and --input_layout right?",
    )
    return OnnxModel(find_spec(ONNX, path, settings, callee), settings, graph, session)


def _session(name: str, file: Path) -> OnnxSession:
    """Load a file by onnxruntime, or by OpenVINO where that is not installed."""
    try:
        if onnxruntime_is_installed():
            return OnnxRuntimeSession(file, gpu=bool(onnxruntime_gpus()))
        _log.warning(
            "model %s: onnxruntime is not installed: what OpenVINO computes is compared with "
            "OpenVINO alone (pip install 'beamscope[onnx]')",
            name,
        )
        return OpenVinoSession(file)
    # Both raise kinds of their own, and more than are documented.
    except Exception as error:
        raise _bad(f"model {name}: cannot be loaded: {one_line(error)}") from error


def _image_input(name: str, session: OnnxSession, settings: ModelSettings) -> OnnxTensor:
    """Return the only input of a model."""
    listed = ", ".join(map(_described, session.inputs)) or "nothing"
    if len(session.inputs) != 1:
        raise _bad(
            f"model {name}: takes {listed}, not one batch of images: export it again for images "
            "alone (docs/models.md)"
        )
    (image,) = session.inputs
    if image.dtype not in _DTYPES:
        raise _bad(
            f"model {name}: takes {listed}, not one of {', '.join(_DTYPES)}: export it in float32"
        )
    if settings.input_dtype not in (None, image.dtype):
        raise _bad(
            f"model {name}: takes {image.dtype}, and --input_dtype is {settings.input_dtype}"
        )
    return image


def _prepared(
    pixels: npt.NDArray[np.uint8], arithmetic: PixelMap, dtype: str, layout: str, channels: int
) -> npt.NDArray[Any]:
    """Take uint8 RGB ``[n, H, W, 3]`` to the values, dtype and layout of a model's input."""
    images = arithmetic.apply(pixels)
    if channels == 0:
        images = images[..., 0]
    elif layout == "channels_first":
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, dtype)


def _answer(value: Any) -> Answer:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return value if np.issubdtype(value.dtype, np.floating) else value.dtype.name


def _described(tensor: OnnxTensor) -> str:
    sizes = "…" if tensor.shape is None else ", ".join(str(n or "?") for n in tensor.shape)
    return f"{tensor.name} {tensor.dtype} [{sizes}]"


def _bad(message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, message)
