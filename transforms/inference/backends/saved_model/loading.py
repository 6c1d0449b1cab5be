"""Load a SavedModel, and find out how it is called."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.saved_model.loader_impl import parse_saved_model

from beamscope.transforms.inference.backends.base import LoadedModel
from beamscope.transforms.inference.backends.saved_model.endpoints import (
    Endpoint,
    choose_endpoint,
)
from beamscope.transforms.inference.backends.saved_model.images import prepare
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.calling import Answer, Callee, find_spec
from beamscope.transforms.inference.input_shapes import ImageInput
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.preprocessing import PixelMap
from beamscope.transforms.inference.remedis import parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

# The names of TensorFlow's operations that draw random numbers.
_RANDOM = re.compile(
    r"Random|Multinomial|TruncatedNormal|Rng|NonDeterministic|SampleDistorted"
    r"|Stateful(Unif|Stand)"
)
# Those that change variables.
_ASSIGNS = re.compile(r"^(Resource)?(Sparse)?(Assign|Scatter|Apply)")
_UNKNOWN_OPERATION = re.compile(r"Op type not registered '([^']*)'")
_PYTHON_FUNCTION = re.compile(r"\b(Eager)?PyFunc|\bpyfunc_\d+|callback with key=")
# A graph without tags is named by an empty one.
_NO_TAG = ""


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel(LoadedModel):
    """A SavedModel in memory, with everything that was found out about calling it.

    Attributes:
      spec: how it is called.
      settings: what was asked for.
      restored: the object that `tf.saved_model.load` returned; it owns the variables.
      endpoint: the function of it that is called.
    """

    spec: ModelSpec
    settings: ModelSettings
    restored: Any
    endpoint: Endpoint

    def prepare(self, pixels: tf.Tensor) -> tf.Tensor:
        """Take uint8 RGB ``[B, H, W, 3]`` to the dtype, range and layout of the model's input."""
        spec = self.spec
        return prepare(
            pixels, spec.pixel_map(), spec.input_dtype, spec.input_layout, spec.input_channels
        )

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Embed a batch by the plain call of the SavedModel.

        Args:
          images: in the dtype, range and layout that `spec` names, as from `prepare`.

        Returns:
          float32 ``[B, D]``, pooled as `spec` says.
        """
        outputs = _named_outputs(self.endpoint.call(images))
        return self._pooled(tf.cast(outputs[self.spec.output_key or ""], tf.float32))

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embed any number of images by the plain call; see `LoadedModel.embed`."""
        return embed_in_batches(self.answer, pixels, self.batch_size, self.spec.features)

    def answer(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Call the model once with exactly these images; see `LoadedModel.answer`."""
        embeddings: npt.NDArray[np.float32] = self.call(self.prepare(tf.constant(pixels))).numpy()
        return embeddings

    def draws_random_numbers(self) -> bool:
        """Return whether the graph of a call has operations that draw random numbers."""
        return any(_RANDOM.search(operation) for operation in self._operations)

    def weights_that_calls_may_change(self) -> Mapping[str, bytes]:
        """Return digests of the variables of floats, if the graph of a call changes variables."""
        if not any(_ASSIGNS.search(operation) for operation in self._operations):
            return {}
        return {
            # A name is not always unique.
            f"{variable.name.partition(':')[0]} ({index})": hashlib.sha256(
                variable.numpy().tobytes()
            ).digest()
            for index, variable in enumerate(self.alone.variables)
            if variable.dtype.is_floating
        }

    @functools.cached_property
    def _operations(self) -> frozenset[str]:
        """The names of the kinds of operations in the graph of a call."""
        graph = self.alone.graph.as_graph_def()
        nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
        return frozenset(node.op for node in nodes)

    @functools.cached_property
    def alone(self) -> Any:
        """`traced` for one image, or for as many as the model says."""
        return self.traced(self.spec.fixed_batch or 1)

    def traced(self, images: int) -> Any:
        """Trace the plain call, scaling included, for exactly `images` images."""
        size = self.spec.input_size
        signature = [tf.TensorSpec([images, size, size, 3], tf.uint8, name="pixels")]
        function: Any = tf.function(
            lambda pixels: self.call(self.prepare(pixels)), input_signature=signature
        )
        return function.get_concrete_function()

    def _pooled(self, output: tf.Tensor) -> tf.Tensor:
        spec = self.spec
        rank = len(spec.output_shape) + 1
        if spec.output_layout == "channels_first" and rank > 2:
            output = tf.transpose(output, [0, *range(2, rank), 1])
        if spec.pooling == "cls":
            return output[:, 0]
        if spec.pooling in ("mean_patches", "cls_mean_patches"):
            patches = tf.reduce_mean(output[:, spec.first_patch :], axis=1)
            both = spec.pooling == "cls_mean_patches"
            return tf.concat([output[:, 0], patches], axis=1) if both else patches
        if spec.pooling == "mean":
            return tf.reduce_mean(output, axis=list(range(1, rank - 1)))
        return output if rank == 2 else tf.reshape(output, [tf.shape(output)[0], spec.features])


def load(directory: Path, settings: ModelSettings) -> SavedModel:
    """Load a SavedModel and try it on a grey image.

    Args:
      directory: where its files lie on this machine.
      settings: how the user wants it called.

    Raises:
      InputError: ``bad_model`` where it cannot be loaded, is ambiguous, contradicts the settings,
        or does not give one finite embedding for an image.
    """
    # The backend of a model is a singleton; its module is imported here to avoid a circle.
    from beamscope.transforms.inference.backends.saved_model.backend import SAVED_MODEL

    name = model_name(settings.uri)
    tags = _tags(name, directory, settings.tags)
    with input_errors(f"model {name}: cannot be loaded"):
        restored = tf.saved_model.load(str(directory), tags=tags)

    remedis = parse_remedis_name(settings.uri)
    endpoint = choose_endpoint(
        restored,
        name,
        signature=settings.signature,
        input_size=settings.input_size or (remedis.input_size if remedis else None),
        input_dtype=settings.input_dtype,
        input_layout=settings.input_layout,
        preferred_size=settings.flexible_size,
    )

    def call(
        pixels: npt.NDArray[np.uint8], arithmetic: PixelMap, reading: ImageInput
    ) -> Mapping[str, Answer]:
        images = prepare(
            tf.constant(pixels), arithmetic, endpoint.dtype, reading.layout, reading.channels
        )
        outputs = _named_outputs(endpoint.call(images))
        return {key: _answer(value) for key, value in outputs.items()}

    callee = Callee(
        called=endpoint.called,
        input_name=endpoint.input_name,
        dtype=endpoint.dtype,
        readings=endpoint.readings,
        call=call,
        reason=lambda error: _reason(error, "are --input_size and --input_range right?"),
    )
    spec = find_spec(SAVED_MODEL, directory, settings, callee)
    return SavedModel(spec, settings, restored, endpoint)


def _tags(name: str, directory: Path, wanted: tuple[str, ...] | None) -> list[str] | None:
    """Return the tags of the graph to load, None for the only one.

    Raises:
      InputError: ``bad_model`` unless they name one of a SavedModel's graphs.
    """
    with input_errors(f"model {name}: cannot be loaded"):
        graphs = parse_saved_model(str(directory)).meta_graphs
    found = [sorted(graph.meta_info_def.tags) for graph in graphs]
    listed = " or ".join(f"--tags {_as_flag(each)}" for each in found)
    if wanted is None:
        if len(found) > 1:
            raise _bad(f"model {name}: holds {len(found)} graphs: choose by {listed}")
        return None
    tags = sorted(tag for tag in wanted if tag != _NO_TAG)
    if tags not in found:
        raise _bad(f"model {name}: has no graph of --tags {_as_flag(tags)}, only of {listed}")
    return tags


def _as_flag(tags: Sequence[str]) -> str:
    return shlex.join(tags or [_NO_TAG])


@contextlib.contextmanager
def input_errors(doing: str, remedy: str = "is the copy of it complete?") -> Iterator[None]:
    """Turn whatever TensorFlow raises over a model into an InputError (``bad_model``).

    That is no small set, and not documented: OSError, ValueError, KeyError, TypeError and every
    `tf.errors.OpError`, depending on which file is damaged or how a call does not fit. Hence this
    broad `except`: nothing but the call belongs inside.
    """
    try:
        yield
    except Exception as error:
        raise _bad(f"{doing}: {_reason(error, remedy)}") from error


def _reason(error: Exception, remedy: str) -> str:
    """Return what TensorFlow says, and what to do."""
    text = str(error)
    unknown = _UNKNOWN_OPERATION.search(text)
    if unknown:
        return (
            f"it has the operation {unknown[1]}, which TensorFlow {tf.__version__} has not: export "
            "it with TensorFlow's own operations alone (docs/models.md)"
        )
    if _PYTHON_FUNCTION.search(text):
        return (
            "it calls a Python function of the program that saved it (tf.py_function): export it "
            "with TensorFlow's own operations alone (docs/models.md)"
        )
    return f"{one_line(error)}: {remedy}"


def _named_outputs(result: Any) -> dict[str, Any]:
    """Return the outputs by key: of a list by position, of a lone tensor by the empty key."""
    if isinstance(result, dict):
        return {str(key): value for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return {str(position): value for position, value in enumerate(result)}
    return {"": result}


def _answer(value: Any) -> Answer:
    """Return a tensor of floats as an array; of everything else, what it is."""
    if not isinstance(value, tf.Tensor):
        return type(value).__name__
    if not value.dtype.is_floating:
        return str(value.dtype.name)
    answer: npt.NDArray[Any] = value.numpy()
    return answer


def _bad(message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, message)
