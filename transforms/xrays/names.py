"""The names that films have."""

from __future__ import annotations

from beamscope.transforms.sources.names import ImageNames

FILM_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".dcm", ".dicom"})
FILM_NAMES = ImageNames("film", FILM_ENDINGS, bare=True)
