"""How a SavedModel is to be used, as asked for (`ModelSettings`) and as resolved (`ModelSpec`).

Free of TensorFlow, so that a command line can be parsed without waiting for its import.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from beamscope.transforms.fingerprints import in_embedding, in_none, settings_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

Compile = Literal["auto", "openvino", "xla", "graph", "none"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

COMPILE_CHOICES: tuple[Compile, ...] = ("auto", "openvino", "xla", "graph", "none")
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16", "float16")

# How a model can be compiled at the lower precisions. They differ from one another by more than
# rounding, so that `auto` is always the first, whatever a machine has.
_LOWER: dict[Precision, tuple[Compile, ...]] = {
    "bfloat16": ("openvino", "graph"),
    "float16": ("xla",),
}

# Range of a model's input -> (factor, offset) that takes a grey level of 0 to 255 there.
INPUT_RANGES: dict[str, tuple[float, float]] = {
    "0..1": (1 / 255, 0.0),
    "-1..1": (2 / 255, -1.0),
    "0..255": (1.0, 0.0),
}
INPUT_DTYPES = ("float32", "float16", "bfloat16", "uint8")


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """A SavedModel and how its user wants it called; what is None is found out from the model.

    Attributes:
      uri: directory of the SavedModel: a local path, or a URI that Beam's FileSystems can read.
      signature: name of the signature to call; None calls the object itself where it is callable.
      output_key: which output to take from a model that answers several.
      input_size: height and width of the input images in pixels.
      input_dtype: one of `INPUT_DTYPES`, to choose among several that the model accepts.
      input_range: what black..white becomes, a key of `INPUT_RANGES`.
      batch_size: images per call of the model; the only size that it is compiled for. Small ones
        stay in a processor's caches (BiT 50x1 is fastest at 8 to 16); larger ones suit a GPU.
      compile: `openvino`: variables frozen to constants and compiled by OpenVINO for the processor;
        `xla`: frozen and compiled by XLA; `graph`: frozen, and means of groups taken faster;
        `none`: the SavedModel's own function, as it is; `auto`: what is best on the machine.
      precision: `float32`; `bfloat16` on processors that have it; `float16` on GPUs; `auto` is
        float32 everywhere, so that machines agree.

    Raises:
      InputError: ``bad_option`` for a value that is not one, or a `compile` that does not have the
        `precision`.
    """

    uri: str = in_none()
    signature: str | None = in_none(default=None)
    output_key: str | None = in_none(default=None)
    input_size: int | None = in_none(default=None)
    input_dtype: str | None = in_none(default=None)
    input_range: str | None = in_none(default=None)
    batch_size: int = in_none(default=16)
    compile: Compile = in_none(default="auto")
    precision: Precision = in_none(default="auto")

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("input_dtype", self.input_dtype, INPUT_DTYPES),
            ("input_range", self.input_range, tuple(INPUT_RANGES)),
            ("compile", self.compile, COMPILE_CHOICES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value is not None and value not in choices:
                raise InputError(
                    Kind.BAD_OPTION, f"{name} {value!r} is not one of {', '.join(choices)}"
                )
        for name, number in (("batch_size", self.batch_size), ("input_size", self.input_size)):
            if number is not None and number < 1:
                raise InputError(Kind.BAD_OPTION, f"{name} {number} is not a positive number")
        able = _LOWER.get(self.precision, COMPILE_CHOICES)
        if self.compile not in ("auto", *able):
            raise InputError(
                Kind.BAD_OPTION,
                f"--precision {self.precision}: not with --compile {self.compile}, "
                f"only with {' or '.join(able)}",
            )

    @property
    def computed_in(self) -> Precision:
        """The precision, without `auto`."""
        return "float32" if self.precision == "auto" else self.precision

    @property
    def compiled_by(self) -> Compile:
        """`compile`, but at a lower precision what `auto` stands for.

        In float32 it may stay `auto`: what that chooses on one machine and on another agrees.
        """
        if self.compile == "auto" and self.precision in _LOWER:
            return _LOWER[self.precision][0]
        return self.compile


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """How a SavedModel is called, found out once and recorded with the embeddings.

    Attributes:
      name: the last part of the model's uri.
      digest: hexadecimal SHA-256 of its files, see `model_files.model_digest`.
      called: what is called: ``object``, ``signature NAME`` or ``function NAME``.
      input_name: name of the input tensor in the SavedModel.
      input_size: height and width of the images in pixels.
      size_source: where that comes from: ``option``, ``REMEDIS name`` or ``model``.
      input_dtype: element type of the input.
      input_range: what black..white becomes, a key of `INPUT_RANGES`.
      range_source: ``option``, ``REMEDIS name``, ``dtype`` (a uint8 input takes grey levels as they
        are) or ``assumed``.
      output_key: which of several outputs is taken; None where there is one.
      output_shape: shape of that output for one image, without the batch: ``(D,)``, or
        ``(height, width, D)`` of a feature map.
      pooling: ``none`` for 2-D outputs, ``mean`` for 4-D ones: the average over height and width.
      features: D, the length of an embedding.
      cosine: at a precision below float32, the lowest cosine with the plain float32 call over a
        batch of structured images, where the machine that starts a job could measure it.
    """

    name: str = in_none()
    digest: str = in_embedding(name="model_digest")
    called: str = in_embedding(name="model_called")
    input_name: str = in_none()
    input_size: int = in_embedding(name="model_input_size")
    size_source: str = in_none()
    input_dtype: str = in_embedding(name="model_input_dtype")
    input_range: str = in_embedding(name="model_input_range")
    range_source: str = in_none()
    output_key: str | None = in_embedding(name="model_output_key")
    output_shape: tuple[int, ...] = in_none()
    pooling: Literal["none", "mean"] = in_embedding()
    features: int = in_none()
    cosine: float | None = in_none(default=None)

    def to_json(self) -> dict[str, object]:
        """The attributes as values that `json.dumps` takes."""
        return dataclasses.asdict(self) | {"output_shape": list(self.output_shape)}


def embedding_settings(settings: ModelSettings, spec: ModelSpec) -> dict[str, Any]:
    """Return the settings of a model that change the numbers of an embedding.

    What the user left to the model counts as it was found out (`ModelSpec`); how it is compiled, as
    it is asked for, since machines differ in what they have and agree in what comes out.
    """
    return {
        **settings_of("embedding", spec),
        "compile": settings.compiled_by,
        "precision": settings.computed_in,
    }
