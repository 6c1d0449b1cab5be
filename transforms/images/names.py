"""The names that image files have."""

from __future__ import annotations

from beamscope.transforms.sources.names import ImageNames

IMAGE_NAMES = ImageNames("image", frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"}))
