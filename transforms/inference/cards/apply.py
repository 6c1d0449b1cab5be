"""Fill what a user did not say about a model from its card."""

from __future__ import annotations

import dataclasses
from typing import Any

from beamscope.transforms.inference.cards.card import ModelCard
from beamscope.transforms.inference.cards.find_card import (
    NO_CARD,
    card_beside,
    card_file,
    preset_card,
)
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.remedis import parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# These change together: a mean of 0..1 means nothing in another range.
_VALUES = ("input_range", "input_mean", "input_std")
_SINGLE = (
    "input_size", "input_layout", "input_dtype", "channel_order", "signature", "output_key",
    "output_layout",
)  # fmt: skip


def with_card_of(
    settings: ModelSettings, *, card: str | None = None, preset: str | None = None
) -> ModelSettings:
    """Return settings with what the model's card says where the user has said nothing.

    Args:
      settings: as the user gave them.
      card: path or URI of a card; ``none`` for no card at all.
      preset: name of a card that comes with beamscope.

    Raises:
      InputError: ``bad_card``; ``bad_option`` for a preset that does not exist, or both.
    """
    if card is not None and preset is not None:
        raise InputError(
            Kind.BAD_OPTION, f"--preset {preset}: --model_card is there too: leave one out"
        )
    if card == NO_CARD:
        return settings
    if card is not None:
        return with_card(settings, card_file(card))
    beside = None if not settings.uri else card_beside(settings.uri)
    if preset is None:
        return settings if beside is None else with_card(settings, beside)
    found = with_card(settings, preset_card(preset))
    if beside is None:
        return found
    more = f"--preset {preset} counts, and the card {beside.place} does not"
    return dataclasses.replace(found, card_notes=(*found.card_notes, more))


def with_card(settings: ModelSettings, card: ModelCard) -> ModelSettings:
    """Return settings with what a card says where the user has said nothing.

    The notes of the result say what the user has to know: which flags count instead of the card,
    the licence, and what is not confirmed.

    Raises:
      InputError: ``bad_card``: the card and the flags contradict each other.
    """
    said = card.said()
    taken: dict[str, Any] = {}
    notes: list[str] = []
    for key in _SINGLE:
        _choose(key, getattr(settings, key), said.get(key), taken, notes)
    given = [key for key in _VALUES if getattr(settings, key) is not None]
    if all(getattr(settings, key) == said.get(key) for key in given):
        taken |= {key: said[key] for key in _VALUES if key in said and key not in given}
    else:
        card_values = {key: said[key] for key in _VALUES if key in said}
        if card_values:
            shown = ", ".join(f"--{key} {_text(getattr(settings, key))}" for key in given)
            instead = ", ".join(f"{key} {_text(value)}" for key, value in card_values.items())
            notes.append(f"{shown} instead of the card's {instead}")
    _choose("pooling", settings.pooling, said.get("pooling"), taken, notes)
    if "pooling" in taken:
        taken["token_pooling"] = taken.pop("pooling")
    if settings.pooling is None and "features" in said:
        taken["features"] = said["features"]
    notes += _about(settings, card)
    try:
        found = dataclasses.replace(settings, **taken)
    except InputError as error:
        raise InputError(
            Kind.BAD_CARD, f"model card {card.place}: with the flags given: {error.message}"
        ) from error
    named = tuple("pooling" if key == "token_pooling" else key for key in taken)
    return dataclasses.replace(
        found,
        card=card.place,
        from_card=named,
        card_notes=tuple(notes),
        card_mpp=card.mpp,
        card_resize=card.resize,
    )


def _choose(key: str, given: Any, said: Any, taken: dict[str, Any], notes: list[str]) -> None:
    if said is None or given == said:
        return
    if given is None:
        taken[key] = said
    else:
        notes.append(f"--{key} {_text(given)} instead of the card's {_text(said)}")


def _about(settings: ModelSettings, card: ModelCard) -> list[str]:
    notes = [f"model card {card.place}" + (f": {card.license}" if card.license else "")]
    remedis = parse_remedis_name(settings.uri)
    if remedis is not None:
        for key in ("input_size", "input_range"):
            by_name, by_card = getattr(remedis, key), getattr(card, key)
            if by_card not in (None, by_name) and getattr(settings, key) is None:
                notes.append(f"{key} {by_card} of the card counts, not {by_name} by REMEDIS name")
    if card.unconfirmed:
        keys = ", ".join(card.unconfirmed)
        notes.append(f"not confirmed by a document of the model's makers: {keys}")
    if card.note:
        notes.append(card.note)
    return notes


def with_card_record(spec: ModelSpec, settings: ModelSettings) -> ModelSpec:
    """Return a spec that says which card there was, and what came from it."""
    return dataclasses.replace(
        spec,
        card=settings.card,
        from_card=settings.from_card,
        size_source=_source(spec.size_source, "input_size", settings),
        range_source=_source(spec.range_source, "input_range", settings),
    )


def _source(source: str, key: str, settings: ModelSettings) -> str:
    if source not in ("option", "card"):
        return source
    return "card" if key in settings.from_card else "option"


def check_card(spec: ModelSpec, settings: ModelSettings) -> None:
    """Raise InputError (``bad_card``) where a card says another length of embeddings."""
    if settings.features is not None and settings.features != spec.features:
        raise InputError(
            Kind.BAD_CARD,
            f"model card {settings.card}: features: says {settings.features}, and the model "
            f"{spec.name} gives {spec.features}: is it the card of another model?",
        )


def blamed_on_card(error: InputError, settings: ModelSettings) -> InputError:
    """Return an error over a model that says where the card and not a flag is the cause."""
    message = error.message
    for key in settings.from_card:
        message = message.replace(f"--{key}", f"{key} of the card")
    if message == error.message:
        return error
    return InputError(error.kind, f"{message} (model card {settings.card})")


def _text(value: Any) -> str:
    return " ".join(f"{item:g}" for item in value) if isinstance(value, tuple) else str(value)
