"""Models that turn a bag of embeddings into one vector: the mean, a SavedModel, or ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.openvino_model import import_openvino, openvino_is_installed
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slide_vectors.inputs import BagInputs, Tensor, bag_inputs

Matrix = npt.NDArray[np.floating]
# Names that a model may give to the output that is the vector, if it has several.
_OUTPUTS = ("embedding", "embeddings", "slide_embedding", "output")


class BagModel(Protocol):
    """A model of bags."""

    def __call__(self, embeddings: Matrix, coordinates: npt.NDArray[np.int32]) -> Matrix:
        """Return the vector of a slide, ``[F]``.

        Args:
          embeddings: ``[N, D]``.
          coordinates: ``[N, 2]``, left and top edge of each patch in level-0 pixels.
        """
        ...


def mean(embeddings: Matrix, coordinates: npt.NDArray[np.int32]) -> Matrix:  # noqa: ARG001
    """Return the mean of the embeddings, ``[D]``, added up in float64."""
    return embeddings.mean(axis=0, dtype=np.float64)


def load_bag_model(path: Path, features: int, shown: str) -> BagModel:
    """Load a model of bags.

    Args:
      path: directory of a SavedModel, or an ONNX file with its external data beside it.
      features: D, the length of an embedding.
      shown: the model as the user wrote it, for messages.

    Raises:
      InputError: ``bad_model`` if it cannot be loaded or does not take bags; ``missing_package`` if
        it is ONNX and OpenVINO is not installed.
    """
    if path.suffix == ".onnx":
        return OnnxBags(path, features, shown)
    return SavedModelBags(path, features, shown)


class SavedModelBags:
    """A SavedModel: its signature ``serving_default``, or its only one."""

    def __init__(self, path: Path, features: int, shown: str) -> None:
        import tensorflow as tf

        try:
            self._restored = tf.saved_model.load(str(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise _bad(shown, f"cannot be loaded: {one_line(error)}") from error
        signatures: Mapping[str, Any] = self._restored.signatures
        names = list(signatures)
        if "serving_default" not in names and len(names) != 1:
            raise _bad(
                shown,
                "must have one signature, or one called serving_default; it has "
                f"{', '.join(names) or 'none'}",
            )
        self._call = signatures.get("serving_default") or signatures[names[0]]
        self._shown = shown
        specs = self._call.structured_input_signature[1]
        self._inputs = bag_inputs(
            [
                Tensor(
                    name,
                    None if spec.shape.rank is None else tuple(spec.shape.as_list()),
                    spec.dtype.as_numpy_dtype.__name__,
                )
                for name, spec in specs.items()
            ],
            features,
            shown,
        )

    def __call__(self, embeddings: Matrix, coordinates: npt.NDArray[np.int32]) -> Matrix:
        """Return the vector of a slide, ``[F]``."""
        import tensorflow as tf

        given = _arguments(self._inputs, embeddings, coordinates)
        answer = self._call(**{name: tf.constant(value) for name, value in given.items()})
        return _vector({name: value.numpy() for name, value in answer.items()}, self._shown)


class OnnxBags:
    """An ONNX model, run by OpenVINO on the processor in float32."""

    def __init__(self, path: Path, features: int, shown: str) -> None:
        if not openvino_is_installed():
            raise InputError(
                Kind.MISSING_PACKAGE,
                f"--model {shown}: ONNX needs OpenVINO: pip install 'beamscope[cpu]'",
            )
        openvino = import_openvino()
        core = openvino.Core()
        try:
            model = core.read_model(path)
            self._inputs = bag_inputs([_tensor(port) for port in model.inputs], features, shown)
            options = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise _bad(shown, f"cannot be loaded: {one_line(error)}") from error
        self._shown = shown

    def __call__(self, embeddings: Matrix, coordinates: npt.NDArray[np.int32]) -> Matrix:
        """Return the vector of a slide, ``[F]``."""
        answer = self._compiled(_arguments(self._inputs, embeddings, coordinates))
        found = {port.get_any_name(): np.asarray(value) for port, value in answer.items()}
        return _vector(found, self._shown)


def _tensor(port: Any) -> Tensor:
    shape = port.partial_shape
    sizes = (
        None
        if shape.rank.is_dynamic
        else tuple(None if size.is_dynamic else size.get_length() for size in shape)
    )
    return Tensor(port.get_any_name(), sizes, np.dtype(port.element_type.to_dtype()).name)


def _arguments(
    inputs: BagInputs, embeddings: Matrix, coordinates: npt.NDArray[np.int32]
) -> dict[str, npt.NDArray[Any]]:
    given = {inputs.embeddings.name: _fitted(inputs.embeddings, embeddings)}
    if inputs.coordinates is not None:
        given[inputs.coordinates.name] = _fitted(inputs.coordinates, coordinates)
    return given


def _fitted(tensor: Tensor, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values in the input's dtype, with a batch of one where it has a batch."""
    converted = np.ascontiguousarray(values, dtype=tensor.dtype)
    return converted[None] if tensor.shape is not None and len(tensor.shape) == 3 else converted


def _vector(answer: Mapping[str, npt.NDArray[Any]], shown: str) -> Matrix:
    named = [name for name in _OUTPUTS if name in answer]
    if len(answer) > 1 and not named:
        raise _bad(
            shown, f"has the outputs {', '.join(answer)}; the vector must be called embedding"
        )
    value = answer[named[0]] if len(answer) > 1 else next(iter(answer.values()))
    if value.ndim not in (1, 2) or (value.ndim == 2 and len(value) != 1):
        raise _bad(shown, f"must answer one vector [F] or [1, F] for a slide, got {value.shape}")
    return value.reshape(-1)


def _bad(shown: str, reason: str) -> InputError:
    return InputError(Kind.BAD_MODEL, f"--model {shown}: {reason}")
