"""The caption below the picture of a slide: what it shows, a scale bar, and what colours mean."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.picture import Picture, encode
from beamscope.transforms.slides.planning.plan import OpenedPlan

# In pixels of the picture.
_STRIP_PX, _MARGIN_PX, _TEXT_PX, _WEIGHT = 66, 10, 18, 500
_PAPER, _INK = 255, (30, 30, 30)
# A bar of a round length, of about this share of the width at most.
_BAR_SHARE = 0.2
_ROUND_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


def captioned(picture: Picture, plan: OpenedPlan, *, failed: int = 0) -> bytes:
    """Return the JPEG of a picture with a caption below it.

    Args:
      picture: of the plan, with its JPEG.
      plan: the plan of the slide.
      failed: how many of its patches could not be read.
    """
    shown = picture.decode()
    height, width = shown.shape[:2]
    image = np.full((height + _STRIP_PX, width, 3), _PAPER, np.uint8)
    image[:height] = shown
    first = height + 8 + _TEXT_PX
    second = first + _TEXT_PX + 8
    _write(image, _cut(_title(plan, failed), width - 2 * _MARGIN_PX), _MARGIN_PX, first)
    bar_um = scale_bar_um(width * picture.scale * plan.mpp.mean)
    bar_px = round(bar_um / (picture.scale * plan.mpp.mean))
    x, middle = _MARGIN_PX, second - _TEXT_PX // 3
    cv2.rectangle(image, (x, middle - 2), (x + bar_px, middle + 2), _INK, cv2.FILLED)
    x += bar_px + 8
    for text, color in [(length_text(bar_um), None), *_legend(picture, failed)]:
        if color is not None:
            cv2.rectangle(image, (x, middle - 6), (x + 12, middle + 6), color, 2)
            x += 20
        _write(image, text, x, second)
        x += _width_of(text) + 20
    return encode(image)


def scale_bar_um(width_um: float) -> int:
    """Return the length of a scale bar for a picture of a width, in µm: a round number."""
    fitting = [length for length in _ROUND_UM if length <= width_um * _BAR_SHARE]
    return fitting[-1] if fitting else _ROUND_UM[0]


def length_text(um: float) -> str:
    """Return a length in words: ``200 µm`` or ``2 mm``."""
    return f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"


def _title(plan: OpenedPlan, failed: int) -> str:
    patches = f"{plan.patches:,} patch{'' if plan.patches == 1 else 'es'}"
    if failed:
        patches += f", {failed:,} failed"
    side = plan.read.size_level0 * plan.mpp.mean
    return (
        f"{plan.slide_id}   {patches} of {side:.0f} µm at {plan.read.mpp_effective:.3g} µm/px; "
        f"slide {plan.mpp.mean:.3g} µm/px"
    )


def _legend(picture: Picture, failed: int) -> list[tuple[str, tuple[int, int, int] | None]]:
    colors = picture.colors
    legend: list[tuple[str, tuple[int, int, int] | None]] = [
        ("tissue", colors.tissue), ("patch", colors.patch)
    ]  # fmt: skip
    if picture.overlapping:
        legend.append(("overlapping patch", colors.other))
    if failed:
        legend.append(("failed patch", colors.failed))
    return legend


def _cut(text: str, room: int) -> str:
    """Return a text without its end where it is wider than the room."""
    if _width_of(text) <= room:
        return text
    while text and _width_of(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"


@functools.cache
def _font() -> Any:
    # OpenCV's own, which has the letters of most languages; Pillow's has not even the µ.
    return cv2.FontFace("sans")


def _write(image: npt.NDArray[np.uint8], text: str, x: int, baseline: int) -> None:
    cv2.putText(image, text, (x, baseline), _INK, _font(), _TEXT_PX, _WEIGHT)


def _width_of(text: str) -> int:
    left, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _font(), _TEXT_PX, _WEIGHT)
    return int(left + width)
