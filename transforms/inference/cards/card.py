"""The form of a model card, and its strict parser.

A card is a YAML mapping. Its keys are named as the flags; every key is optional.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from beamscope.transforms.inference.model_settings import (
    CHANNEL_ORDERS,
    INPUT_DTYPES,
    LAYOUTS,
    POOLINGS,
    ChannelOrder,
    Layout,
    Pooling,
)
from beamscope.transforms.inference.preprocessing import INPUT_RANGES, check_normalisation
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

RESIZES = ("nearest", "bilinear", "bicubic", "area", "lanczos")
MAX_BYTES = 65_536
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a card says; None or empty for what it does not.

    Attributes:
      place: where the card is from, for messages: a path, a URI, or ``preset NAME``.
      name: of the model.
      input_size: height and width of the images in pixels.
      input_layout: where the channels of the input are.
      input_dtype: element type of the input.
      input_range: what black..white becomes before mean and std.
      input_mean: one number, or one for each channel in the model's order.
      input_std: likewise, with `input_mean`.
      channel_order: of the input.
      resize: how the model's makers resize images to `input_size`.
      signature: of a SavedModel.
      output_key: of a model with several outputs.
      output_layout: where the features of a feature map or of tokens are.
      pooling: what becomes of tokens or a feature map; nothing for a model that answers vectors.
      features: length of an embedding after pooling.
      mpp: recommended resolution of patches in µm/px.
      license: a note on the terms of the model's makers, in one line.
      source: documents where the facts are from, with the day on which they were read.
      unconfirmed: keys whose values no document of the makers has confirmed.
      note: what else a user has to know, in one line.
    """

    place: str
    name: str | None = None
    input_size: int | None = None
    input_layout: Layout | None = None
    input_dtype: str | None = None
    input_range: str | None = None
    input_mean: tuple[float, ...] | None = None
    input_std: tuple[float, ...] | None = None
    channel_order: ChannelOrder | None = None
    resize: str | None = None
    signature: str | None = None
    output_key: str | None = None
    output_layout: Layout | None = None
    pooling: Pooling | None = None
    features: int | None = None
    mpp: float | None = None
    license: str | None = None
    source: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    note: str | None = None

    def said(self) -> dict[str, Any]:
        """Return what the card says, by key, without its place."""
        values = dataclasses.asdict(self)
        del values["place"]
        return {key: value for key, value in values.items() if value not in (None, ())}

    def to_yaml(self) -> bytes:
        """Return the card as a file that `parse_card` reads."""
        said = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self.said().items()
        }
        return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100).encode()


KEYS = tuple(field.name for field in dataclasses.fields(ModelCard) if field.name != "place")


def parse_card(data: bytes, place: str) -> ModelCard:
    """Parse a card.

    Args:
      data: the YAML file.
      place: where it is from, for messages.

    Raises:
      InputError: ``bad_card``: it is no YAML mapping, or has an unknown key or a value of a wrong
        type or out of range. The message names the card, the key, the value, and what is allowed.
    """
    content = _content(data, place)
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in KEYS:
            raise _bad(place, f"has the unknown key {_short(key)}: use {', '.join(KEYS)}")
        read, allowed = _READERS[key]
        found = read(value)
        if found is None:
            raise _bad(place, f"{key}: must be {allowed}, got {_short(value)}")
        values[key] = found
    card = ModelCard(place, **values)
    missing = [key for key in card.unconfirmed if key not in content]
    if missing:
        raise _bad(place, f"unconfirmed: names {missing[0]}, which the card does not give")
    try:
        check_normalisation(card.input_range, card.input_mean, card.input_std)
    except InputError as error:
        raise _bad(place, error.message.replace("--", "")) from error
    return card


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses what it would quietly overwrite."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key} is there twice")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _content(data: bytes, place: str) -> Mapping[Any, Any]:
    if len(data) > MAX_BYTES:
        raise _bad(place, f"has {len(data):,} bytes, and a card at most {MAX_BYTES:,}")
    try:
        content = _Loader(data.decode()).get_single_data()
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _bad(place, f"is not YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise _bad(place, f"is not a mapping of keys like input_size, but {_short(content)}")
    return content


def _whole(low: int, high: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return value if low <= value <= high else None

    return read


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def _positive(value: Any) -> float | None:
    found = _number(value)
    return found if found is not None and 0 < found <= 1000 else None


def _numbers(value: Any) -> tuple[float, ...] | None:
    items = value if isinstance(value, list) else [value]
    found = [_number(item) for item in items]
    if len(items) not in (1, 3) or None in found:
        return None
    return tuple(item for item in found if item is not None)


def _one_of(choices: tuple[str, ...]) -> tuple[Callable[[Any], str | None], str]:
    def read(value: Any) -> str | None:
        return value if isinstance(value, str) and value in choices else None

    return read, f"one of {', '.join(choices)}"


def _line(value: Any) -> str | None:
    fits = isinstance(value, str) and value.strip() and "\n" not in value.strip()
    return value.strip() if fits and len(value) <= 1000 else None


def _lines(value: Any) -> tuple[str, ...] | None:
    found = [_line(item) for item in (value if isinstance(value, list) else [value])]
    return None if None in found else tuple(item for item in found if item is not None)


def _keys(value: Any) -> tuple[str, ...] | None:
    found = _lines(value)
    return found if found is not None and set(found) <= set(KEYS) else None


_TEXT = (_line, "a text of one line")
_NUMBERS = (_numbers, "one number, or a list of three")
_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "name": _TEXT,
    "input_size": (_whole(1, 65_536), "a whole number from 1 to 65536"),
    "input_layout": _one_of(LAYOUTS),
    "input_dtype": _one_of(INPUT_DTYPES),
    "input_range": _one_of(tuple(INPUT_RANGES)),
    "input_mean": _NUMBERS,
    "input_std": _NUMBERS,
    "channel_order": _one_of(CHANNEL_ORDERS),
    "resize": _one_of(RESIZES),
    "signature": _TEXT,
    "output_key": _TEXT,
    "output_layout": _one_of(LAYOUTS),
    "pooling": _one_of(POOLINGS),
    "features": (_whole(1, 10_000_000), "a whole number from 1 to 10000000"),
    "mpp": (_positive, "a number above 0 and at most 1000"),
    "license": _TEXT,
    "source": (_lines, "a text of one line, or a list of such"),
    "unconfirmed": (_keys, f"a list of keys of the card ({', '.join(KEYS)})"),
    "note": _TEXT,
}


def _short(value: Any) -> str:
    return _REPR.repr(value)


def _bad(place: str, message: str) -> InputError:
    return InputError(Kind.BAD_CARD, f"model card {place}: {message}")
