"""Loading a TensorFlow 2 SavedModel and finding out how it wants to be called."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model.endpoints import Endpoint, choose_endpoint
from beamscope.transforms.inference.model_files import (
    check_files,
    local_model,
    model_digest,
    model_name,
)
from beamscope.transforms.inference.model_settings import INPUT_RANGES, ModelSettings, ModelSpec
from beamscope.transforms.inference.remedis import RemedisModel, parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedModel:
    """A SavedModel in memory, with everything that was found out about calling it.

    Attributes:
      spec: how it is called.
      settings: what was asked for.
      restored: the object that `tf.saved_model.load` gave; it owns the variables.
      endpoint: the function of it that is called.
    """

    spec: ModelSpec
    settings: ModelSettings
    restored: Any
    endpoint: Endpoint

    def prepare(self, pixels: tf.Tensor) -> tf.Tensor:
        """Takes uint8 RGB ``[B, H, W, 3]`` to the dtype and range of the model's input."""
        return _prepare(pixels, self.spec.input_dtype, self.spec.input_range)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Embeds a batch by the plain call of the SavedModel.

        Args:
          images: ``[B, H, W, 3]`` in the dtype and range that `spec` names, as from `prepare`.

        Returns:
          float32 ``[B, D]``. A 4-D output is averaged over its axes 1 and 2 (height and width of a
          channels-last feature map).
        """
        outputs = _named_outputs(self.endpoint.call(images))
        output = tf.cast(outputs[self.spec.output_key or ""], tf.float32)
        return tf.reduce_mean(output, axis=[1, 2]) if self.spec.pooling == "mean" else output


def load(settings: ModelSettings) -> LoadedModel:
    """Loads a SavedModel and tries it on one grey image.

    Raises:
      InputError: ``bad_model`` where the directory is not a SavedModel, cannot be loaded, is
        ambiguous, contradicts the settings, or does not give finite embeddings.
    """
    directory = local_model(settings.uri)
    check_files(directory, settings.uri)
    name = model_name(settings.uri)
    with input_errors(f"model {name}: cannot be loaded"):
        restored = tf.saved_model.load(str(directory))

    remedis = parse_remedis_name(settings.uri)
    wanted_size = settings.input_size or (remedis.input_size if remedis else None)
    endpoint = choose_endpoint(
        restored,
        name,
        signature=settings.signature,
        input_size=wanted_size,
        input_dtype=settings.input_dtype,
    )
    size, size_source = _input_size(name, settings, remedis, endpoint)
    input_range, range_source = _input_range(name, settings, remedis, endpoint)
    if endpoint.batch_size not in (None, settings.batch_size):
        raise _bad(
            f"model {name}: takes batches of exactly {endpoint.batch_size}, "
            f"and batch_size is {settings.batch_size}"
        )

    count = endpoint.batch_size or 1
    grey = tf.fill([count, size, size, 3], tf.constant(128, tf.uint8))
    with input_errors(f"model {name}: fails on a grey {size}x{size} image"):
        result = endpoint.call(_prepare(grey, endpoint.dtype, input_range))
    key, output = _choose_output(name, result, settings.output_key)
    pooling = _pooling(name, output, count)
    if not bool(tf.reduce_all(tf.math.is_finite(tf.cast(output, tf.float32)))):
        raise _bad(f"model {name}: answers a grey {size}x{size} image with NaN or infinity")
    return LoadedModel(
        spec=ModelSpec(
            name=name,
            digest=model_digest(directory),
            called=endpoint.called,
            input_name=endpoint.input_name,
            input_size=size,
            size_source=size_source,
            input_dtype=endpoint.dtype,
            input_range=input_range,
            range_source=range_source,
            output_key=key,
            output_shape=tuple(output.shape[1:]),
            pooling=pooling,
            features=int(output.shape[-1]),
        ),
        settings=settings,
        restored=restored,
        endpoint=endpoint,
    )


@contextlib.contextmanager
def input_errors(doing: str) -> Iterator[None]:
    """Turns whatever TensorFlow raises over a model into an InputError (``bad_model``).

    That is no small set, and not documented: OSError, ValueError, KeyError, TypeError and every
    `tf.errors.OpError`, depending on which file is damaged or how a call does not fit. Hence the
    only broad `except` here; nothing of ours but the call belongs inside.
    """
    try:
        yield
    except Exception as error:
        raise _bad(f"{doing}: {one_line(error)}") from error


def _prepare(pixels: tf.Tensor, dtype: str, input_range: str) -> tf.Tensor:
    if dtype == "uint8":
        return pixels
    factor, offset = INPUT_RANGES[input_range]
    images = tf.cast(pixels, tf.float32)
    if factor != 1.0:
        images = images * factor
    if offset != 0.0:
        images = images + offset
    return tf.cast(images, dtype)


def _input_size(
    name: str, settings: ModelSettings, remedis: RemedisModel | None, endpoint: Endpoint
) -> tuple[int, str]:
    if settings.input_size:
        size, source = settings.input_size, "option"
    elif remedis:
        size, source = remedis.input_size, "REMEDIS name"
    else:
        size, source = 0, "model"
    height, width = endpoint.height, endpoint.width
    if height and width and height != width:
        raise _bad(f"model {name}: takes images of {height}x{width}, and only squares are read")
    static = height or width
    if size and static and size != static:
        says = "input_size" if source == "option" else "its REMEDIS name"
        raise _bad(f"model {name}: takes images of {static}x{static}, and {says} says {size}")
    if not (size or static):
        raise _bad(f"model {name}: takes images of any size, so --input_size must say which")
    return size or static or 0, source


def _input_range(
    name: str, settings: ModelSettings, remedis: RemedisModel | None, endpoint: Endpoint
) -> tuple[str, str]:
    if endpoint.dtype == "uint8":
        if settings.input_range not in (None, "0..255"):
            raise _bad(
                f"model {name}: takes uint8, which rules out the range {settings.input_range}"
            )
        return "0..255", "dtype"
    if settings.input_range:
        return settings.input_range, "option"
    if remedis:
        return remedis.input_range, "REMEDIS name"
    return "0..1", "assumed"


def _named_outputs(result: Any) -> dict[str, Any]:
    """The outputs by key; those of a list by position, and a lone tensor under the empty key."""
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
        raise _bad(f"model {name}: answers {found}, not a tensor of floats")
    return key or None, output


def _pooling(name: str, output: tf.Tensor, count: int) -> Literal["none", "mean"]:
    rank = output.shape.rank
    if rank not in (2, 4) or output.shape[0] != count or 0 in output.shape:
        raise _bad(
            f"model {name}: answers {count} image(s) with shape {output.shape}, "
            "not [batch, features] or [batch, height, width, features]"
        )
    return "none" if rank == 2 else "mean"


def _bad(message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, message)
