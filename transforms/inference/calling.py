"""Find out how a model is called by calling it on grey images, whatever backend opens it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.backends.base import Backend, compiled_by
from beamscope.transforms.inference.input_shapes import ImageInput
from beamscope.transforms.inference.input_values import InputValues, input_values
from beamscope.transforms.inference.model_files import model_digest, model_name
from beamscope.transforms.inference.model_settings import FLOAT_DTYPES, ModelSettings, ModelSpec
from beamscope.transforms.inference.output_shapes import read_output
from beamscope.transforms.inference.preprocessing import PixelMap
from beamscope.transforms.inference.remedis import RemedisModel, parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# A tensor of floats; or what an output is instead, in a word, such as ``int64``.
Answer = npt.NDArray[Any] | str


@dataclasses.dataclass(frozen=True, eq=False)
class Callee:
    """What of a model is called, as far as its backend knows without calling it.

    Attributes:
      called: what it is, in the backend's words, such as ``signature NAME``.
      input_name: name of the input tensor.
      dtype: element type of the input, one of `INPUT_DTYPES`.
      readings: the ways to read the input's shape; never empty.
      call: takes uint8 RGB ``[n, H, W, 3]`` to the values and the layout that are given, and
        returns the outputs by their keys; the key of one without a name is empty.
      reason: takes what `call` raised, of any kind, and returns what the user reads of it.
    """

    called: str
    input_name: str
    dtype: str
    readings: tuple[ImageInput, ...]
    call: Callable[[npt.NDArray[np.uint8], PixelMap, ImageInput], Mapping[str, Answer]]
    reason: Callable[[Exception], str]


def find_spec(
    backend: Backend[Any], path: Path, settings: ModelSettings, callee: Callee
) -> ModelSpec:
    """Find out how a model is called, by the settings and by calls with grey images.

    Args:
      backend: that opens the model.
      path: of the model's files on this machine.
      settings: how the user wants it called.
      callee: what is called.

    Raises:
      InputError: ``bad_model`` where the model is ambiguous, contradicts the settings, or does not
        give one finite embedding for an image; ``bad_option`` for a precision, a compiler or a
        pooling that it does not have.
    """
    name = model_name(settings.uri)
    remedis = parse_remedis_name(settings.uri)
    size, size_source = _input_size(name, settings, remedis, callee.readings[0])
    asked = input_values(name, settings, callee.dtype)
    trial = _Trial(name, callee, asked, size)
    reading = trial.reading()
    values = asked.for_channels(reading.channels)
    key, output = _choose_output(name, trial.call(reading), settings.output_key)
    count = reading.batch or 1
    if output.ndim == 0 or output.shape[0] != count:
        raise _bad(
            f"model {name}: answers {count} image(s) with shape {output.shape}, not with one row "
            "for each: wrap the model (docs/models.md)"
        )
    shape = tuple(output.shape[1:])
    found = read_output(
        name,
        shape,
        pooling=settings.pooling,
        token_pooling=settings.token_pooling,
        layout=settings.output_layout,
        other=lambda: trial.shape_at_another_size(reading, key),
    )
    if not np.isfinite(output.astype(np.float32)).all():
        raise _bad(
            f"model {name}: answers a grey {size}x{size} image with NaN or infinity: is "
            "--input_range right?"
        )
    return ModelSpec(
        backend=backend.name,
        name=name,
        digest=model_digest(path),
        called=callee.called,
        input_name=callee.input_name,
        input_size=size,
        size_source=size_source,
        input_dtype=callee.dtype,
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
        compile=compiled_by(backend, settings),
        precision=settings.computed_in,
    )


@dataclasses.dataclass(frozen=True)
class _Trial:
    """Calls of a model with grey images, by which its axes are found out."""

    name: str
    callee: Callee
    values: InputValues
    size: int

    def call(self, reading: ImageInput, size: int | None = None) -> Mapping[str, Answer]:
        """Call the model with as many grey images as it wants, of `size` pixels."""
        side = size or self.size
        grey = np.full([reading.batch or 1, side, side, 3], 128, np.uint8)
        arithmetic = self.values.pixel_map(reading.channels)
        try:
            return self.callee.call(grey, arithmetic, reading)
        # Libraries raise kinds of their own, and more than are documented.
        except Exception as error:
            raise _bad(
                f"model {self.name}: fails on a grey {side}x{side} image: "
                f"{self.callee.reason(error)}"
            ) from error

    def reading(self) -> ImageInput:
        """Return how to read the input: where its shape does not tell, the one that works."""
        readings = self.callee.readings
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
            output = self.call(reading, size)[key or ""]
        except InputError:
            return None
        return None if isinstance(output, str) else tuple(output.shape[1:])


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


def _choose_output(
    name: str, outputs: Mapping[str, Answer], wanted: str | None
) -> tuple[str | None, npt.NDArray[Any]]:
    keys = ", ".join(sorted(outputs))
    if wanted is not None and wanted not in outputs:
        has = f"those are {keys}" if keys else "it answers one tensor without a name"
        raise _bad(f"model {name}: has no output {wanted!r}, {has}")
    if wanted is None and len(outputs) != 1:
        raise _bad(f"model {name}: answers {len(outputs)} outputs ({keys}): choose by --output_key")
    key = wanted if wanted is not None else next(iter(outputs))
    output = outputs[key]
    if isinstance(output, str) or output.dtype.name not in FLOAT_DTYPES:
        found = output if isinstance(output, str) else output.dtype.name
        raise _bad(
            f"model {name}: answers {found}, not a tensor of floats: choose another output by "
            "--output_key, or wrap the model (docs/models.md)"
        )
    return key or None, output


def _bad(message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, message)
