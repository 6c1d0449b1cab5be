"""The data of a slide from which the page computes which patches would be taken."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.planning.patches import rectangles
from beamscope.transforms.slides.planning.sight import Sight
from beamscope.transforms.slides.planning.slide_tissue import unsure_area
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tissue.detection import tissue_values
from beamscope.transforms.slides.tissue.quality import measure_quality

# Six bits hold the values: every threshold that a person tries is below 63 of 255.
LARGEST_VALUE = 63
_KNOWN, _UNSURE = 128, 64
# Coverage of a given mask is kept in these steps, as planning keeps it.
_STEPS = 1 << 16
# The longer side of the picture that is shown.
_SHOWN_PX = 900
_JPEG_QUALITY = 75

U8 = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Preview:
    """A slide of the page.

    Attributes:
      slide_id: of the slide.
      data: JSON values: size and place of the thumbnail, the grid, and two images as data URIs. The
        JPEG is to be seen. The PNG holds what is divided, exactly as planning has it: with the mode
        ``values`` the lower six bits of a pixel are saturation or brightness up to
        `LARGEST_VALUE`, bit 7 says that it was scanned and read, bit 6 that it counts as tissue
        because nothing is known of it. With ``coverage`` a pixel's red, green and blue are a
        number of 24 bits, the part that is tissue in 65,536ths.
    """

    slide_id: str
    data: dict[str, Any]


def preview_of(sight: Sight, settings: SlideSettings) -> Preview:
    """Return the data of one slide.

    Args:
      sight: what planning saw of it.
      settings: of the plan; of them the page leaves all as they are that it has no slider for.
    """
    small, grid, read = sight.small, sight.grid, sight.read
    mpp = sight.mpp * small.scale_x
    divided: dict[str, Any]
    if settings.tissue == "none" or sight.given is not None:
        divided = {"mode": "coverage", "png": _png(_coverage(sight))}
    else:
        found = tissue_values(small.rgb, mpp=mpp, scanned=small.scanned & ~small.unreadable)
        packed = np.minimum(found.values, LARGEST_VALUE)
        packed |= np.where(found.scanned, np.uint8(_KNOWN), np.uint8(0))
        packed |= np.where(unsure_area(small, mpp), np.uint8(_UNSURE), np.uint8(0))
        divided = {"mode": "values", "png": _png(packed), "otsu": found.otsu}
    height, width = small.scanned.shape
    # Columns and rows of the grid, once each.
    columns, rows = int(grid.column.max()) + 1, int(grid.row.max()) + 1
    data = {
        "id": sight.opened["slide_id"],
        "width": width,
        "height": height,
        "mpp": mpp,
        "region": [small.region.x, small.region.y],
        "scale": [small.scale_x, small.scale_y],
        "size": read.size_level0,
        "x": grid.x_level0[:columns].tolist(),
        "y": grid.y_level0[::columns][:rows].tolist(),
        "dropped": _dropped(sight, settings),
        "jpeg": _jpeg(sight.thumbnail.rgb),
        **divided,
    }
    return Preview(sight.opened["slide_id"], data)


def _coverage(sight: Sight) -> U8:
    steps = np.rint(np.asarray(sight.tissue, np.float64) * _STEPS).astype(np.uint32)
    # OpenCV writes blue, green, red.
    return np.stack([steps & 255, steps >> 8 & 255, steps >> 16], axis=-1).astype(np.uint8)


def _dropped(sight: Sight, settings: SlideSettings) -> list[int]:
    """Return the places in the grid of the patches that ``--drop`` would leave out."""
    poor = np.zeros(len(sight.grid), bool)
    if settings.drop:
        where = rectangles(sight.grid, sight.read, sight.small)
        quality = measure_quality(sight.small.rgb, *where)
        for reason, threshold in settings.drop:
            poor |= quality.is_poor(reason, threshold)
    return [int(place) for place in np.flatnonzero(poor)]


def _png(image: U8) -> str:
    return _uri("png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _jpeg(rgb: U8) -> str:
    factor = min(1.0, _SHOWN_PX / max(rgb.shape[:2]))
    if factor < 1:
        rgb = np.asarray(
            cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
        )
    bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
    return _uri("jpeg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _uri(kind: str, image: U8, options: list[int]) -> str:
    done, encoded = cv2.imencode(f".{kind}", image, options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of {image.shape}")
    return f"data:image/{kind};base64,{base64.b64encode(bytes(encoded)).decode()}"
