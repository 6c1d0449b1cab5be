"""Measure the quality of patches on a thumbnail: white, black, grey, blurred, or under pen ink.

White, black and grey follow slide2vec's filters (all channels above 220 or below 25; no colour in
nine tenths of a patch). Blur follows HistoQC: the Laplacian is small. All of it is measured at
`TISSUE_MPP`. At its 8 µm/px the Laplacian's standard deviation over patches of tissue in focus is
above 26 grey levels (in 99 % of the patches of three slides); with the same slides blurred by 8 µm
it is 4 to 18, and 7 to 12 in the middle.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.tissue.detection import tissue_fraction

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Reason = Literal["white", "black", "grey", "blurred", "ink"]
# In the order in which a patch that has several is counted.
REASONS: tuple[Reason, ...] = get_args(Reason)
# Of blurred: grey levels; of the others: fraction of the patch.
DEFAULT_THRESHOLDS: Mapping[Reason, float] = {
    "white": 0.9, "black": 0.9, "grey": 0.9, "blurred": 12.0, "ink": 0.1,
}  # fmt: skip

_WHITE = 220
_BLACK = 25
# The largest spread of the channels of a pixel that counts as without colour.
_GREY_SPREAD = 8
# Hues of pens in degrees: green to blue. Eosin and haematoxylin are between violet and red, above
# 235. A pen is strong in colour; its colour must not be that of a counterstain.
_INK_HUES = (70.0, 235.0)
_INK_SPREAD = 60
# Ink is told from a stain only where the stain is certain: most coloured pixels have these hues.
_STAIN_HUES = (250.0, 360.0)
_STAIN_SPREAD = 20
_MOSTLY = 0.7


@dataclasses.dataclass(frozen=True, eq=False)
class Quality:
    """Measures of patches, float32 ``[n]`` each.

    Attributes:
      measures: by reason: the fraction of the patch that is white, black, grey or ink, 0 to 1; for
        ``blurred`` the standard deviation of the Laplacian, grey levels.
    """

    measures: Mapping[Reason, F32]

    def is_poor(self, reason: Reason, threshold: float) -> Bools:
        """Return the patches for which a reason holds: bool ``[n]``."""
        measure = self.measures[reason]
        return measure < threshold if reason == "blurred" else measure >= threshold


def measure_quality(rgb: U8, x: F64, y: F64, width: F64, height: F64) -> Quality:
    """Measure patches on a thumbnail.

    Args:
      rgb: uint8 ``[h, w, 3]``.
      x: left edges in pixels of the thumbnail, ``[n]``.
      y: top edges, likewise.
      width: of each patch.
      height: likewise.
    """
    rectangles = (x, y, width, height)
    red, green, blue = cv2.split(rgb)
    highest, lowest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    spread = cv2.subtract(highest, lowest)
    white, black = lowest > _WHITE, highest < _BLACK
    grey = (spread <= _GREY_SPREAD) & ~white & ~black
    fractions: dict[Reason, Bools] = {
        "white": white, "black": black, "grey": grey, "ink": _ink(rgb, spread),
    }  # fmt: skip
    measures: dict[Reason, F32] = {
        reason: tissue_fraction(mask, *rectangles) for reason, mask in fractions.items()
    }
    measures["blurred"] = _sharpness(rgb, rectangles)
    return Quality(measures)


def _sharpness(rgb: U8, rectangles: tuple[F64, F64, F64, F64]) -> F32:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    laplacian = np.asarray(cv2.Laplacian(grey, cv2.CV_32F), np.float32)
    # The mean over a rectangle of any values is a fraction of a mask of theirs; scaled to 0 to 1.
    scale = np.float32(4 * 255)
    mean = tissue_fraction((laplacian + scale) / (2 * scale), *rectangles) * (2 * scale) - scale
    square = tissue_fraction((laplacian / scale) ** 2, *rectangles) * scale**2
    return np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)


def _ink(rgb: U8, spread: npt.NDArray[np.uint8]) -> Bools:
    """Return where pen ink is; nowhere on a slide whose stain is not surely another colour."""
    none = np.zeros(spread.shape, bool)
    strong = np.asarray(spread >= _INK_SPREAD, bool)
    if not strong.any():
        return none
    # OpenCV's hue of 8 bits is in steps of 2 degrees.
    hue = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 0].astype(np.float32) * 2
    ink = strong & (hue >= _INK_HUES[0]) & (hue <= _INK_HUES[1])
    coloured = (spread >= _STAIN_SPREAD) & ~ink
    stained = coloured & (hue >= _STAIN_HUES[0]) & (hue <= _STAIN_HUES[1])
    certain = np.count_nonzero(stained) >= max(1, _MOSTLY * np.count_nonzero(coloured))
    return ink if certain else none
