"""How a model is to be used: as asked for (`ModelSettings`) and as found out (`ModelSpec`).

Free of any library of models, so that a command line can be parsed without waiting for imports.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal

from beamscope.transforms.fingerprints import in_embedding, in_none
from beamscope.transforms.inference.preprocessing import (
    INPUT_RANGES,
    INTEGER_DTYPES,
    PixelMap,
    check_normalisation,
    pixel_map,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
# Channels last: [N, H, W, C]; first: [N, C, H, W].
Layout = Literal["channels_last", "channels_first"]
# Of the three channels of the input.
ChannelOrder = Literal["rgb", "bgr"]
# What becomes of a feature map or of tokens, see `output_shapes`.
Pooling = Literal["none", "mean", "cls", "mean_patches", "cls_mean_patches"]

PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16", "float16")
CHANNEL_ORDERS: tuple[ChannelOrder, ...] = ("rgb", "bgr")
LAYOUTS: tuple[Layout, ...] = ("channels_last", "channels_first")
POOLINGS: tuple[Pooling, ...] = ("none", "mean", "cls", "mean_patches", "cls_mean_patches")

FLOAT_DTYPES = ("float32", "float16", "bfloat16", "float64")
INPUT_DTYPES = FLOAT_DTYPES + INTEGER_DTYPES

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """A model and how its user wants it called; a None is found out from the model.

    None of it enters a fingerprint by itself: what it is resolved to does, see `ModelSpec`.

    Attributes:
      uri: of the model: a local path, or a URI of a store.
      tags: of a SavedModel that holds several graphs, the tags of the one to load.
      signature: name of the signature to call; None calls the object itself where it is callable.
      output_key: which output to take from a model that answers several.
      input_size: height and width of the input images in pixels.
      flexible_size: height and width for a model that takes images of several sizes or of any size,
        where neither `input_size` nor its name says which.
      input_dtype: one of `INPUT_DTYPES`, to choose among several that the model accepts.
      input_range: what black..white becomes, a key of `INPUT_RANGES`.
      input_mean: what is subtracted from values of `input_range`: one number, or one for each
        channel in the model's order.
      input_std: what they are divided by then; given together with `input_mean`.
      channel_order: of the input, one of `CHANNEL_ORDERS`; None means RGB.
      input_layout: where the channels of the input are, one of `LAYOUTS`.
      output_layout: where the channels of a feature map or of tokens are, one of `LAYOUTS`.
      pooling: what becomes of a feature map or of tokens, one of `POOLINGS`.
      batch_size: images per call of the model; the only size that it is compiled for. Small ones
        stay in a processor's caches (BiT 50x1 is fastest at 8 to 16); larger ones suit a GPU.
      compile: name of a compiler of the model's backend; ``none``: the model's own function, as it
        is; ``auto``: the best compiler on the machine.
      model_sha256: the digest that the model's files must have, in hex, see
        `model_files.model_digest`; None for any.
      precision: ``float32``; ``bfloat16`` on processors that have it; ``float16`` on GPUs; ``auto``
        is float32 everywhere, so that machines agree.
      token_pooling: as `pooling`, which counts if it is given; but for a model that answers vectors
        it says nothing. A model card says it so.
      features: length of an embedding that a model card promises.
      card: the model card that fills what the user did not say, see `cards.apply`.
      from_card: names of the settings that it has filled.
      card_notes: what a user has to know about it, a line each.
      card_mpp: recommended resolution of patches in µm/px.
      card_resize: how the model's makers resize images, one of `cards.card.RESIZES`.

    Raises:
      InputError: ``bad_option`` for a value that is not one.
    """

    uri: str = in_none()
    tags: tuple[str, ...] | None = in_none(default=None)
    signature: str | None = in_none(default=None)
    output_key: str | None = in_none(default=None)
    input_size: int | None = in_none(default=None)
    flexible_size: int | None = in_none(default=None)
    input_dtype: str | None = in_none(default=None)
    input_range: str | None = in_none(default=None)
    input_mean: tuple[float, ...] | None = in_none(default=None)
    input_std: tuple[float, ...] | None = in_none(default=None)
    channel_order: ChannelOrder | None = in_none(default=None)
    input_layout: Layout | None = in_none(default=None)
    output_layout: Layout | None = in_none(default=None)
    pooling: Pooling | None = in_none(default=None)
    batch_size: int = in_none(default=16)
    compile: str = in_none(default="auto")
    precision: Precision = in_none(default="auto")
    model_sha256: str | None = in_none(default=None)
    token_pooling: Pooling | None = in_none(default=None)
    features: int | None = in_none(default=None)
    # Beam takes the text of these settings, in ASCII, to describe the pipeline.
    card: str | None = in_none(default=None, repr=False)
    from_card: tuple[str, ...] = in_none(default=(), repr=False)
    card_notes: tuple[str, ...] = in_none(default=(), repr=False)
    card_mpp: float | None = in_none(default=None)
    card_resize: str | None = in_none(default=None)

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("input_dtype", self.input_dtype, INPUT_DTYPES),
            ("input_range", self.input_range, tuple(INPUT_RANGES)),
            ("channel_order", self.channel_order, CHANNEL_ORDERS),
            ("input_layout", self.input_layout, LAYOUTS),
            ("output_layout", self.output_layout, LAYOUTS),
            ("pooling", self.pooling, POOLINGS),
            ("precision", self.precision, PRECISIONS),
        ):
            if value is not None and value not in choices:
                raise InputError(
                    Kind.BAD_OPTION, f"--{name} must be one of {', '.join(choices)}, got {value!r}"
                )
        check_normalisation(self.input_range, self.input_mean, self.input_std)
        for name, number in (("batch_size", self.batch_size), ("input_size", self.input_size)):
            if number is not None and number < 1:
                raise InputError(Kind.BAD_OPTION, f"--{name} must be at least 1, got {number}")
        if self.model_sha256 is not None and not _SHA256.fullmatch(self.model_sha256):
            raise InputError(
                Kind.BAD_OPTION,
                f"--model_sha256 must be 64 hexadecimal digits, got {self.model_sha256!r} "
                "(beamscope check-model prints a model's digest)",
            )

    @property
    def computed_in(self) -> Precision:
        """The precision, without ``auto``."""
        return "float32" if self.precision == "auto" else self.precision


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """How a model is called, found out once and recorded with the embeddings.

    Attributes:
      backend: name of the backend that opens it.
      name: the last part of the model's uri.
      digest: hexadecimal SHA-256 of its files, see `model_files.model_digest`.
      called: what of it is called, in the backend's words, such as ``signature NAME``.
      input_name: name of the input in the model.
      input_size: height and width of the images in pixels.
      size_source: where that comes from: ``option``, ``card``, ``REMEDIS name``, ``model`` or, for
        a model that takes any size, ``patch size``.
      input_dtype: element type of the input, one of `INPUT_DTYPES`.
      input_layout: where its channels are, one of `LAYOUTS`.
      input_channels: 3 for RGB; 1 for the luma of the images, in an axis of its own; 0 for the luma
        without such an axis.
      input_range: what black..white becomes, a key of `INPUT_RANGES`.
      range_source: ``option``, ``card``, ``REMEDIS name``, ``dtype`` (integers take grey levels as
        they are), ``mean and std`` (which are usual for 0..1) or ``assumed`` (also of integers of
        16 bits).
      input_mean: what is subtracted from values of `input_range`, one number for each channel in
        the model's order; None where the model takes the range as it is.
      input_std: what they are divided by then; None together with `input_mean`.
      channel_order: of an input of three channels, one of `CHANNEL_ORDERS`.
      card: the model card that was used.
      from_card: names of the settings that came from it.
      output_key: which of several outputs is taken; None where there is one.
      output_shape: shape of that output for one image, without the batch: ``(D,)``,
        ``(height, width, D)`` of a feature map, ``(tokens, D)`` or either with D first.
      output_layout: where D is: `channels_first` means before height and width, or before tokens.
      pooling: what becomes of the output, one of `POOLINGS`: ``none`` takes all its numbers as one
        row; ``mean`` is the average over height and width, or over tokens; ``cls`` is the first
        token; ``mean_patches`` is the average over the tokens from `first_patch` on;
        ``cls_mean_patches`` is the first token, followed by that average.
      first_patch: how many tokens come before those of patches: class and register tokens.
      features: D, the length of an embedding.
      fixed_batch: how many images a call takes where the model is bound to a number; else None.
      compile: which compiler was asked for, see `backends.base.compiled_by`.
      precision: what the embeddings are computed in.
      cosine: at a precision below float32, the lowest cosine with the plain float32 call over a
        batch of structured images, where the machine that starts a job could measure it.
    """

    backend: str = in_embedding(name="model_backend")
    name: str = in_none()
    digest: str = in_embedding(name="model_digest")
    called: str = in_embedding(name="model_called")
    input_name: str = in_embedding(name="model_input_name")
    input_size: int = in_embedding(name="model_input_size")
    size_source: str = in_none()
    input_dtype: str = in_embedding(name="model_input_dtype")
    input_layout: Layout = in_embedding(name="model_input_layout")
    input_channels: int = in_embedding(name="model_input_channels")
    input_range: str = in_embedding(name="model_input_range")
    range_source: str = in_none()
    output_key: str | None = in_embedding(name="model_output_key")
    output_shape: tuple[int, ...] = in_none()
    output_layout: Layout = in_embedding(name="model_output_layout")
    pooling: Pooling = in_embedding(name="model_pooling")
    first_patch: int = in_embedding(name="model_first_patch")
    features: int = in_none()
    fixed_batch: int | None = in_none(default=None)
    compile: str = in_embedding(default="auto")
    precision: Precision = in_embedding(default="float32")
    cosine: float | None = in_none(default=None)
    input_mean: tuple[float, ...] | None = in_embedding(
        name="model_input_mean", default=None, unless_default=True
    )
    input_std: tuple[float, ...] | None = in_embedding(
        name="model_input_std", default=None, unless_default=True
    )
    channel_order: ChannelOrder = in_embedding(
        name="model_channel_order", default="rgb", unless_default=True
    )
    card: str | None = in_none(default=None)
    from_card: tuple[str, ...] = in_none(default=())

    def pixel_map(self) -> PixelMap:
        """Return the arithmetic from grey levels to the values of the model's input."""
        return pixel_map(
            dtype=self.input_dtype,
            channels=self.input_channels,
            input_range=self.input_range,
            mean=self.input_mean,
            std=self.input_std,
            channel_order=self.channel_order,
        )

    def values_text(self) -> str:
        """Return what becomes of grey levels, such as ``0..1, mean 0.5, std 0.5, BGR``."""
        parts = [self.input_range]
        for word, values in (("mean", self.input_mean), ("std", self.input_std)):
            if values is not None:
                parts.append(f"{word} {' '.join(f'{value:g}' for value in values)}")
        return ", ".join([*parts, "BGR"] if self.channel_order == "bgr" else parts)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as values that `json.dumps` takes."""
        found = dataclasses.asdict(self)
        return {name: _as_list(value) for name, value in found.items()}


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
