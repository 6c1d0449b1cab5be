"""Models that turn a bag of embeddings into one vector: the mean, a SavedModel, or ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.onnx_files import onnx_file, read_onnx
from beamscope.transforms.inference.onnx_sessions import (
    OnnxRuntimeSession,
    OnnxSession,
    OpenVinoSession,
    check_onnx_packages,
)
from beamscope.transforms.inference.openvino_model import openvino_is_installed
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
      path: directory of a SavedModel, or an ONNX file (or the directory that holds one) with its
        external data beside it.
      features: D, the length of an embedding.
      shown: the model as the user wrote it, for messages.

    Raises:
      InputError: ``bad_model`` if it cannot be loaded or does not take bags; ``missing_package`` if
        it is ONNX and neither OpenVINO nor onnxruntime is installed.
    """
    if onnx_file(path) is not None:
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
    """An ONNX model, run in float32 by OpenVINO, or by onnxruntime where that is not installed."""

    def __init__(self, path: Path, features: int, shown: str) -> None:
        check_onnx_packages(shown)
        file = onnx_file(path)
        if file is None:
            raise _bad(shown, "there is no such file")
        read_onnx(file).check_data()
        try:
            self._session: OnnxSession = (
                OpenVinoSession(file) if openvino_is_installed() else OnnxRuntimeSession(file)
            )
        # Of kinds that are OpenVINO's and onnxruntime's own.
        except Exception as error:
            raise _bad(shown, f"cannot be loaded: {one_line(error)}") from error
        inputs = [Tensor(each.name, each.shape, each.dtype) for each in self._session.inputs]
        self._inputs = bag_inputs(inputs, features, shown)
        self._shown = shown

    def __call__(self, embeddings: Matrix, coordinates: npt.NDArray[np.int32]) -> Matrix:
        """Return the vector of a slide, ``[F]``."""
        given = _arguments(self._inputs, embeddings, coordinates)
        return _vector(self._session.run(given), self._shown)


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
