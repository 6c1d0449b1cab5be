"""Say what a user has to know about a model card."""

from __future__ import annotations

from beamscope.pipelines.terminal.say import note
from beamscope.transforms.inference.model_settings import ModelSettings


def say_about_card(settings: ModelSettings) -> None:
    """Print and log what a user has to know about the model card, such as its licence."""
    for text in settings.card_notes:
        note(text)
