"""Find which input of a model takes a bag of embeddings, and which the coordinates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_COORDINATES = ("coord", "position")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input of a model.

    Attributes:
      name: its name.
      shape: its shape; None for a size that is free; None as a whole if its rank is unknown.
      dtype: numpy's name of its dtype.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclasses.dataclass(frozen=True)
class BagInputs:
    """The inputs of a model of bags.

    Attributes:
      embeddings: takes ``[N, D]``, or ``[1, N, D]`` if its rank is 3.
      coordinates: takes ``[N, 2]``, or ``[1, N, 2]``, in level-0 pixels; None if there is none.
    """

    embeddings: Tensor
    coordinates: Tensor | None


def bag_inputs(inputs: Sequence[Tensor], features: int, model: str) -> BagInputs:
    """Return the inputs of embeddings and coordinates.

    Coordinates have "coord" or "position" in their name, or are the input whose last size is 2.

    Args:
      inputs: all inputs of the model.
      features: D, the length of an embedding.
      model: path of the model, for messages.

    Raises:
      InputError: ``bad_model`` if the model does not take a bag of such embeddings.
    """
    coordinates = [one for one in inputs if _is_coordinates(one, features)]
    embeddings = [one for one in inputs if one not in coordinates and _takes_bags(one, features)]
    if len(embeddings) != 1 or len(coordinates) + 1 != len(inputs) or len(coordinates) > 1:
        shown = "; ".join(f"{one.name} {_shown(one)}" for one in inputs) or "none"
        raise InputError(
            Kind.BAD_MODEL,
            f"--model {model}: must take embeddings [N, {features}] or [1, N, {features}], and "
            f"coordinates [N, 2] if it wants them; its inputs are {shown}",
        )
    return BagInputs(embeddings[0], coordinates[0] if coordinates else None)


def _is_coordinates(one: Tensor, features: int) -> bool:
    if any(word in one.name.lower() for word in _COORDINATES):
        return True
    return (
        features != 2 and one.shape is not None and len(one.shape) in (2, 3) and one.shape[-1] == 2
    )


def _takes_bags(one: Tensor, features: int) -> bool:
    if one.shape is None:
        return True
    patches = one.shape[-2] if len(one.shape) > 1 else 1
    return len(one.shape) in (2, 3) and one.shape[-1] in (features, None) and patches is None


def _shown(one: Tensor) -> str:
    if one.shape is None:
        return "of any shape"
    return "[" + ", ".join("?" if size is None else str(size) for size in one.shape) + "]"
