"""Find the embedding in a model's output: a vector, a feature map, or tokens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.model_settings import Layout, Pooling
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# One class token and, in the public models, up to eight register tokens.
_MOST_PREFIX_TOKENS = 16

# Gives the output's shape, without the batch, for images of another size; None where the model
# takes no other size.
OtherShape = Callable[[], "tuple[int, ...] | None"]


@dataclasses.dataclass(frozen=True)
class OutputReading:
    """How an output becomes an embedding; see `ModelSpec` for the attributes."""

    layout: Layout
    pooling: Pooling
    first_patch: int
    features: int


def read_output(
    name: str,
    shape: tuple[int, ...],
    *,
    pooling: Pooling | None = None,
    token_pooling: Pooling | None = None,
    layout: Layout | None = None,
    other: OtherShape = lambda: None,
) -> OutputReading:
    """Find out how an output becomes an embedding.

    A feature map of a square image is square: the axis that is left over has the channels. Where
    that does not tell, the axes that keep their length when images get another size do.

    Args:
      name: of the model, for messages.
      shape: of the output for one image, without the batch.
      pooling: what the user asks for.
      token_pooling: what becomes of tokens or a feature map where the user does not ask.
      layout: where the channels are, if the user says so.
      other: gives the shape for images of another size.

    Raises:
      InputError: ``bad_model`` where the shape can be read in several ways, or in none: the message
        names the flag that tells. ``bad_option`` for a `pooling` that the shape does not have.
    """
    if not shape or math.prod(shape) == 0 or len(shape) > 3:
        raise _bad(
            name,
            f"answers an image with shape {list(shape)}, not with a vector [D], a feature map "
            "[height, width, D] or tokens [tokens, D]: choose another output by --output_key, or "
            "wrap the model (docs/models.md)",
        )
    if len(shape) == 1:
        if pooling not in (None, "none"):
            raise _bad_pooling(name, pooling, "answers one vector", "leave the flag out")
        return OutputReading("channels_last", "none", 0, shape[0])
    pooling = pooling or token_pooling
    if len(shape) == 2:
        return _tokens(name, shape, pooling, layout, other)
    return _feature_map(name, shape, pooling, layout, other)


def pooled(output: npt.NDArray[np.float32], reading: OutputReading) -> npt.NDArray[np.float32]:
    """Return the embeddings ``[n, D]`` of an output ``[n, …]``; for backends without a graph."""
    if reading.layout == "channels_first" and output.ndim > 2:
        output = np.moveaxis(output, 1, -1)
    if reading.pooling == "cls":
        return output[:, 0]
    if reading.pooling in ("mean_patches", "cls_mean_patches"):
        patches = output[:, reading.first_patch :].mean(axis=1, dtype=np.float32)
        if reading.pooling == "mean_patches":
            return patches
        return np.concatenate([output[:, 0], patches], axis=1)
    if reading.pooling == "mean":
        return output.mean(axis=tuple(range(1, output.ndim - 1)), dtype=np.float32)
    return output.reshape(len(output), -1)


def _feature_map(
    name: str,
    shape: tuple[int, ...],
    pooling: Pooling | None,
    layout: Layout | None,
    other: OtherShape,
) -> OutputReading:
    if pooling not in (None, "none", "mean"):
        answers = f"answers a feature map {list(shape)}, which has no tokens"
        raise _bad_pooling(name, pooling, answers, "use mean or none")
    if layout is None:
        first, second, third = shape
        if first == second != third:
            layout = "channels_last"
        elif second == third != first:
            layout = "channels_first"
        else:
            layout = _by_size(shape, other)
    if layout is None:
        height, width, channels = shape
        raise _bad(
            name,
            f"answers an image with a feature map {list(shape)}, whose axes cannot be told apart: "
            f"--output_layout channels_last reads {height}x{width} positions of {channels} "
            f"features, channels_first reads {width}x{channels} positions of {height} features",
        )
    features = shape[-1] if layout == "channels_last" else shape[0]
    if pooling == "none":
        return OutputReading(layout, "none", 0, math.prod(shape))
    return OutputReading(layout, "mean", 0, features)


def _tokens(
    name: str,
    shape: tuple[int, ...],
    pooling: Pooling | None,
    layout: Layout | None,
    other: OtherShape,
) -> OutputReading:
    # By convention tokens come before features; only what the model does with images of another
    # size, or the user, says otherwise.
    layout = layout or _by_size(shape, other) or "channels_last"
    tokens, features = shape if layout == "channels_last" else shape[::-1]
    if pooling is None and tokens == 1:
        pooling = "mean"
    side = math.isqrt(tokens)
    prefix = tokens - side * side
    if pooling is None:
        patches = f"{side}x{side} patches" if prefix <= _MOST_PREFIX_TOKENS else "patches"
        first = f" after the first {prefix}" if 0 < prefix <= _MOST_PREFIX_TOKENS else ""
        both = "cls_mean_patches puts the first and that average in one row, " if first else ""
        raise _bad(
            name,
            f"answers an image with {tokens} tokens of {features} features: choose by --pooling: "
            f"cls takes the first token, mean averages all, mean_patches averages those of "
            f"{patches}{first}, {both}none takes all {tokens * features} numbers (where the tokens "
            "are features, and the features tokens: --output_layout channels_first)",
        )
    if pooling == "none":
        return OutputReading(layout, "none", 0, tokens * features)
    if pooling in ("mean_patches", "cls_mean_patches"):
        if prefix > _MOST_PREFIX_TOKENS:
            answers = f"of its {tokens} tokens nothing tells which are patches of a square image"
            raise _bad_pooling(name, pooling, answers, "use cls or mean, or wrap the model")
        if pooling == "mean_patches":
            return OutputReading(layout, pooling, prefix, features)
        if prefix == 0:
            answers = f"answers {tokens} tokens of patches, none of which is a class token"
            raise _bad_pooling(name, pooling, answers, "use mean")
        return OutputReading(layout, pooling, prefix, 2 * features)
    return OutputReading(layout, pooling, 0, features)


def _by_size(shape: tuple[int, ...], other: OtherShape) -> Layout | None:
    """Return where the channels are, by which axes keep their length; None where it is open."""
    found = other()
    if found is None or len(found) != len(shape):
        return None
    kept = [before == after for before, after in zip(shape, found, strict=True)]
    if kept[-1] and not any(kept[:-1]):
        return "channels_last"
    if kept[0] and not any(kept[1:]):
        return "channels_first"
    return None


def _bad(name: str, message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, f"model {name}: {message}")


def _bad_pooling(name: str, pooling: Pooling | None, answers: str, remedy: str) -> InputError:
    return InputError(
        Kind.BAD_OPTION,
        f"--pooling {pooling}: model {name} {answers}: {remedy} (see docs/models.md)",
    )
