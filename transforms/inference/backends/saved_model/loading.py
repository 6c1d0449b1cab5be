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

from beamscope.transforms.inference.backends.base import LoadedModel, compiled_by
from beamscope.transforms.inference.backends.saved_model.endpoints import (
    Endpoint,
    choose_endpoint,
)
from beamscope.transforms.inference.backends.saved_model.images import prepare
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.input_shapes import ImageInput
from beamscope.transforms.inference.input_values import InputValues, input_values
from beamscope.transforms.inference.model_files import model_digest, model_name
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.output_shapes import read_output
from beamscope.transforms.inference.remedis import RemedisModel, parse_remedis_name
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
            for index, variable in enumerate(self._concrete.variables)
            if variable.dtype.is_floating
        }

    @functools.cached_property
    def _operations(self) -> frozenset[str]:
        """The names of the kinds of operations in the graph of a call."""
        graph = self._concrete.graph.as_graph_def()
        nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
        return frozenset(node.op for node in nodes)

    @property
    def _concrete(self) -> Any:
        size = self.spec.input_size
        pixels = tf.TensorSpec([self.spec.fixed_batch, size, size, 3], tf.uint8)
        function: Any = tf.function(lambda images: self.call(self.prepare(images)))
        return function.get_concrete_function(pixels)

    def _pooled(self, output: tf.Tensor) -> tf.Tensor:
        spec = self.spec
        rank = len(spec.output_shape) + 1
        if spec.output_layout == "channels_first" and rank > 2:
            output = tf.transpose(output, [0, *range(2, rank), 1])
        if spec.pooling == "cls":
            return output[:, 0]
        if spec.pooling == "mean_patches":
            return tf.reduce_mean(output[:, spec.first_patch :], axis=1)
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
    size, size_source = _input_size(name, settings, remedis, endpoint.readings[0])
    asked = input_values(name, settings, endpoint.dtype)
    trial = _Trial(name, endpoint, asked, size)
    reading = trial.reading()
    values = asked.for_channels(reading.channels)
    result = trial.call(reading)
    key, output = _choose_output(name, result, settings.output_key)
    count = reading.batch or 1
    if output.shape.rank == 0 or output.shape[0] != count:
        raise _bad(
            f"model {name}: answers {count} image(s) with shape {output.shape}, not with one row "
            "for each: wrap the model (docs/models.md)"
        )
    shape = tuple(output.shape[1:])
    found = read_output(
        name,
        shape,
        pooling=settings.pooling,
        layout=settings.output_layout,
        other=lambda: trial.shape_at_another_size(reading, key),
    )
    if not bool(tf.reduce_all(tf.math.is_finite(tf.cast(output, tf.float32)))):
        raise _bad(
            f"model {name}: answers a grey {size}x{size} image with NaN or infinity: is "
            "--input_range right?"
        )
    return SavedModel(
        spec=ModelSpec(
            backend=SAVED_MODEL.name,
            name=name,
            digest=model_digest(directory),
            called=endpoint.called,
            input_name=endpoint.input_name,
            input_size=size,
            size_source=size_source,
            input_dtype=endpoint.dtype,
            input_layout=reading.layout,
            input_channels=reading.channels,
            input_range=values.input_range,
            range_source=values.range_source,
            input_mean=values.mean,
            input_std=values.std,
            channel_order=values.channel_order,
            output_key=key,
            output_shape=shape,
            output_layout=found.layout,
            pooling=found.pooling,
            first_patch=found.first_patch,
            features=found.features,
            fixed_batch=reading.batch,
            compile=compiled_by(SAVED_MODEL, settings),
            precision=settings.computed_in,
        ),
        settings=settings,
        restored=restored,
        endpoint=endpoint,
    )


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


@dataclasses.dataclass(frozen=True)
class _Trial:
    """Calls of an endpoint with grey images, by which its axes are found out."""

    name: str
    endpoint: Endpoint
    values: InputValues
    size: int

    def call(self, reading: ImageInput, size: int | None = None) -> Any:
        """Call the model with as many grey images as it wants, of `size` pixels."""
        side = size or self.size
        grey = tf.fill([reading.batch or 1, side, side, 3], tf.constant(128, tf.uint8))
        arithmetic = self.values.pixel_map(reading.channels)
        with input_errors(
            f"model {self.name}: fails on a grey {side}x{side} image",
            "are --input_size and --input_range right?",
        ):
            return self.endpoint.call(
                prepare(grey, arithmetic, self.endpoint.dtype, reading.layout, reading.channels)
            )

    def reading(self) -> ImageInput:
        """Return how to read the input: where its shape does not tell, the one that works."""
        readings = self.endpoint.readings
        if len(readings) == 1:
            return readings[0]
        working = []
        for reading in readings:
            with contextlib.suppress(InputError):
                self.call(reading)
                working.append(reading)
        if len(working) > 1:
            first, second = (list(each.shape(1, self.size)[1:]) for each in working)
            raise _bad(
                f"model {self.name}: takes images as {first} and as {second}: say by "
                "--input_layout channels_last or channels_first which it was made for"
            )
        return working[0] if working else readings[0]

    def shape_at_another_size(self, reading: ImageInput, key: str | None) -> tuple[int, ...] | None:
        """Return the output's shape for images of another size; None where it takes no other."""
        if reading.height is not None or reading.width is not None:
            return None
        size = self.size * 2 if self.size <= 256 else self.size // 2
        try:
            output = _named_outputs(self.call(reading, size))[key or ""]
        except InputError:
            return None
        return tuple(output.shape[1:])


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


def _input_size(
    name: str, settings: ModelSettings, remedis: RemedisModel | None, reading: ImageInput
) -> tuple[int, str]:
    if settings.input_size:
        size, source = settings.input_size, "option"
    elif remedis:
        size, source = remedis.input_size, "REMEDIS name"
    else:
        size, source = 0, "model"
    height, width = reading.height, reading.width
    if height and width and height != width:
        raise _bad(
            f"model {name}: takes images of {height}x{width}, and only squares are read: wrap the "
            "model (docs/models.md)"
        )
    static = height or width
    if size and static and size != static:
        says = "--input_size" if source == "option" else "its REMEDIS name"
        raise _bad(f"model {name}: takes images of {static}x{static}, and {says} says {size}")
    if not (size or static) and settings.flexible_size:
        size, source = settings.flexible_size, "patch size"
    if not (size or static):
        raise _bad(f"model {name}: takes images of any size, so --input_size must say which")
    return size or static or 0, source


def _named_outputs(result: Any) -> dict[str, Any]:
    """Return the outputs by key: of a list by position, of a lone tensor by the empty key."""
    if isinstance(result, dict):
        return {str(key): value for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return {str(position): value for position, value in enumerate(result)}
    return {"": result}


def _choose_output(name: str, result: Any, wanted: str | None) -> tuple[str | None, tf.Tensor]:
    outputs = _named_outputs(result)
    keys = ", ".join(sorted(outputs))
    if wanted is not None and wanted not in outputs:
        has = f"those are {keys}" if keys else "it answers one tensor without a name"
        raise _bad(f"model {name}: has no output {wanted!r}, {has}")
    if wanted is None and len(outputs) != 1:
        raise _bad(f"model {name}: answers {len(outputs)} outputs ({keys}): choose by --output_key")
    key = wanted if wanted is not None else next(iter(outputs))
    output = outputs[key]
    if not isinstance(output, tf.Tensor) or not output.dtype.is_floating:
        found = output.dtype.name if isinstance(output, tf.Tensor) else type(output).__name__
        raise _bad(
            f"model {name}: answers {found}, not a tensor of floats: choose another output by "
            "--output_key, or wrap the model (docs/models.md)"
        )
    return key or None, output


def _bad(message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, message)
