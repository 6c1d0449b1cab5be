"""Colours of patches: viridis for numbers, a palette for words."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

# Shown where a patch has no value.
NO_VALUE = (128, 128, 128)


def number_colours(
    values: npt.NDArray[np.float64], low: float, high: float
) -> npt.NDArray[np.uint8]:
    """Return the viridis colour of each number, uint8 ``[n, 3]``, RGB.

    Args:
      values: float64 ``[n]``; NaN for no value.
      low: the value of the darkest colour; lower values get it too.
      high: the value of the brightest colour.
    """
    scale = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)
    table = scale[:, 0, ::-1]
    span = high - low if high > low else 1.0
    place = np.clip((np.nan_to_num(values, nan=low) - low) / span * 255, 0, 255)
    colours = table[np.round(place).astype(np.intp)]
    colours[np.isnan(values)] = NO_VALUE
    return colours


def word_colours(words: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Return a colour for each of some words, spread over the hues; RGB."""
    if not words:
        return {}
    hues = np.arange(len(words), dtype=np.float64) * 180 / len(words)
    pixels = np.stack([hues, np.full(len(words), 200.0), np.full(len(words), 230.0)], axis=1)
    colours = cv2.cvtColor(pixels[None].astype(np.uint8), cv2.COLOR_HSV2RGB)[0].tolist()
    return {
        word: (red, green, blue) for word, (red, green, blue) in zip(words, colours, strict=True)
    }
