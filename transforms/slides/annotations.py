"""Tissue and patches of a slide as GeoJSON, to be corrected in QuPath and read again as a mask."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.planning.sight import Sight
from beamscope.transforms.slides.tissue.given import shown
from beamscope.transforms.slides.tissue.trace import trace

TISSUE_CLASS = "Tissue"
# QuPath ignores classes that end in an asterisk, and so does --masks: patches are only to be seen.
PATCH_CLASS = "Patch*"
# Far below the steps in which a mask's coverage is kept, so that reading it again changes nothing.
_DIGITS = 6
_COLORS = {TISSUE_CLASS: [0, 140, 70], PATCH_CLASS: [20, 90, 220]}


def as_geojson(sight: Sight, x_level0: npt.ArrayLike, y_level0: npt.ArrayLike) -> bytes:
    """Return the tissue and the patches of a slide as a GeoJSON FeatureCollection.

    Coordinates are level-0 pixels. As in QuPath, they count from the corner of the slide's bounds
    where it has any. Read as a mask, it gives the patches that it was made from.

    Args:
      sight: what planning saw of the slide.
      x_level0: left edges of the patches, ``[n]``.
      y_level0: top edges, likewise.
    """
    small = sight.small
    corner = np.array([small.region.x, small.region.y], np.float64)
    origin = corner if sight.in_bounds else np.zeros(2)
    scale = np.array([small.scale_x, small.scale_y])
    tissue = [
        [(ring * scale + corner - origin).round(_DIGITS).tolist() for ring in polygon]
        for polygon in trace(shown(sight.tissue))
    ]
    features = [_feature("annotation", TISSUE_CLASS, "Polygon", rings) for rings in tissue]
    left = (np.asarray(x_level0, np.float64) - origin[0]).tolist()
    top = (np.asarray(y_level0, np.float64) - origin[1]).tolist()
    features.extend(_patches(left, top, sight.read.size_level0))
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _patches(x: Iterable[float], y: Iterable[float], size: float) -> Iterator[dict[str, Any]]:
    for left, top in zip(x, y, strict=True):
        right, bottom = left + size, top + size
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        yield _feature("detection", PATCH_CLASS, "Polygon", [ring])


def _feature(kind: str, name: str, shape: str, coordinates: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": shape, "coordinates": coordinates},
        "properties": {
            "objectType": kind,
            "classification": {"name": name, "color": _COLORS[name]},
        },
    }
