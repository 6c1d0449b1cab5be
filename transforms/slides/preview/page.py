"""Write the page: one HTML file with every picture in it, which needs no network."""

from __future__ import annotations

import dataclasses
import html
import importlib.resources
import json
from collections.abc import Sequence
from typing import Any

from beamscope.transforms.slides.preview.data import LARGEST_VALUE, Preview
from beamscope.transforms.slides.settings import SlideSettings


def page(
    previews: Sequence[Preview], settings: SlideSettings, *, title: str, note: str = ""
) -> str:
    """Return the HTML of a page.

    Args:
      previews: the slides to show, in order.
      settings: of the plan, from which the sliders start.
      title: heading of the page.
      note: a sentence about what is not shown; empty if there is none.
    """
    data = {
        "slides": [preview.data for preview in previews],
        "settings": _settings(settings),
        "largest": LARGEST_VALUE,
    }
    # In a script element only a closing tag would end the text.
    text = json.dumps(data).replace("</", "<\\/")
    template = importlib.resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return (
        template.replace("{{title}}", html.escape(title))
        .replace("{{note}}", html.escape(note))
        .replace("{{data}}", text)
    )


def _settings(settings: SlideSettings) -> dict[str, Any]:
    names = ("tissue", "tissue_threshold", "min_tissue", "min_object_um2", "min_hole_um2")
    values = dataclasses.asdict(settings)
    return {name: values[name] for name in names}
