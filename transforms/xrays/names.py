"""The names that films have."""

from __future__ import annotations

from beamscope.transforms.sources.names import ImageNames

FILM_NAMES = ImageNames("film", frozenset({".jpg", ".jpeg", ".png", ".dcm", ".dicom"}), bare=True)
