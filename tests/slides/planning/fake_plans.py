"""Plans of slides that are arrays, which a stand-in for OpenSlide reads."""

import functools
import json

import numpy as np

from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings

# The slides are not files, so that only the stand-in for OpenSlide can read them.
fake_settings = functools.partial(SlideSettings, reader="openslide")

SETTINGS = fake_settings(mpp=0.5, patch_px=64, stride_px=64, block_size=16)

REQUEST = SlideRequest("s", "fake.svs")


def pink(height, width):
    """Tissue everywhere: a textured pink that is far from glass."""
    random = np.random.default_rng(0)
    rgba = np.full((height, width, 4), (200, 90, 160, 255), np.uint8)
    rgba[..., :3] += random.integers(0, 40, (height, width, 3), dtype=np.uint8)
    return rgba


def write_mask(path, *areas):
    """GeoJSON of rectangles (left, top, right, bottom), each with the name of its class."""
    features = [
        {
            "type": "Feature",
            "properties": {"classification": {"name": name}} if name else {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]],
            },
        }
        for name, (x0, y0, x1, y1) in areas
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def by_mask(**changes):
    values = {"mpp": 0.5, "patch_px": 64, "stride_px": 64, "tissue": "mask", "min_tissue": 0.9}
    return fake_settings(**values | changes)
