"""Pixel helpers of every reader: lay pixels on a background, and scale them."""

from __future__ import annotations

from collections.abc import Mapping

from beamscope.transforms.image_files.pixels import composite as composite
from beamscope.transforms.image_files.pixels import resample as resample

_WHITE = (255, 255, 255)
# Alpha from which on a pixel counts as scanned.
OPAQUE = 128


def background_color(properties: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the RGB behind transparent pixels: ``openslide.background-color`` (hex), or white."""
    text = properties.get("openslide.background-color", "")
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError:
        return _WHITE
    return red, green, blue
