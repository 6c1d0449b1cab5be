"""Say what a user has to know about a model card."""

from __future__ import annotations

import sys

from beamscope.pipelines.terminal.live import LINE
from beamscope.pipelines.terminal.log_file import LOG
from beamscope.transforms.inference.model_settings import ModelSettings


def say_about_card(settings: ModelSettings) -> None:
    """Print and log what a user has to know about the model card, such as its licence."""
    for note in settings.card_notes:
        LOG.info("%s", note)
        with LINE.lifted():
            print(note, file=sys.stderr, flush=True)
