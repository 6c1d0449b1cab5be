"""Patches that start between two pixels of a level, drawn as OpenSlide draws them.

A level's downsample is rarely whole (4.002, say), so that most places of level 0 lie between its
pixels. OpenSlide lets cairo interpolate linearly, tile by tile, with 8 bits between one tile and
the next; to be within a grey level of it everywhere, the same is computed here.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.readers.pixels import OPAQUE, composite

# The pixels around a place, (down, right), in the order in which OpenSlide draws their tiles.
_AROUND = ((1, 1), (1, 0), (0, 1), (0, 0))

# Rows that are drawn at a time, in pixels of them: 64 bytes each and more while they are.
_BAND_PX = 1 << 18
# Pixman, on which cairo builds, knows places to this part of a pixel.
_PER_PIXEL = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Canvas:
    """A patch as stored, before the shift by a fraction of a pixel.

    Attributes:
      pixels: uint8 RGB ``[h + 1, w + 1, 3]``.
      covered: bool ``[h + 1, w + 1]``, where there is a stored pixel; None where there is anywhere.
      column_seams: the columns whose right neighbour is of another tile.
      row_seams: the rows whose lower neighbour is of another tile.
      background: colour of what is not covered.
    """

    pixels: npt.NDArray[np.uint8]
    covered: npt.NDArray[np.bool_] | None
    column_seams: list[int]
    row_seams: list[int]
    background: tuple[int, int, int]


def shift(
    canvas: Canvas, right: float, down: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """Shift a canvas by a fraction of a pixel, to the right and down.

    Args:
      canvas: the pixels.
      right: 0 to 1, pixels.
      down: 0 to 1, pixels.

    Returns:
      uint8 RGB ``[h, w, 3]``, laid on the background; and bool ``[h, w]``, where it is half opaque
      at least, None where everywhere.
    """
    right, down = (round(fraction * _PER_PIXEL) / _PER_PIXEL for fraction in (right, down))
    weights = np.outer((1 - down, down), (1 - right, right))
    height, width = (length - 1 for length in canvas.pixels.shape[:2])
    rows, columns = np.arange(height), np.arange(width)
    if canvas.covered is None:
        # Pixman turns 0 to 1 into 0 to 255 by the whole part of 256 times the value; half less,
        # for OpenCV rounds.
        kernel = weights * (256 / 255)
        shifted = cv2.filter2D(canvas.pixels, -1, kernel, anchor=(0, 0), delta=-0.5)[:-1, :-1]
        out: npt.NDArray[np.uint8] = shifted
        scanned = None
    else:
        out = np.empty((height, width, 3), np.uint8)
        scanned = np.empty((height, width), np.bool_)
        for band in np.array_split(rows, -(-height * width // _BAND_PX)):
            out[band], scanned[band] = _drawn(canvas, weights, band, columns, (0, 0, 0, 0))
    row_seams, column_seams = np.array(canvas.row_seams, int), np.array(canvas.column_seams, int)
    # Which tile each of the pixels around belongs to, counted in the order of drawing.
    for seam_rows, seam_columns, tiles in (
        (rows, column_seams, (0, 1, 0, 1)),
        (row_seams, columns, (0, 0, 1, 1)),
        (row_seams, column_seams, (0, 1, 2, 3)),
    ):
        if len(seam_rows) and len(seam_columns):
            seam = np.ix_(seam_rows, seam_columns)
            out[seam], opaque = _drawn(canvas, weights, seam_rows, seam_columns, tiles)
            if scanned is not None:
                scanned[seam] = opaque
    return out, scanned


def _drawn(
    canvas: Canvas,
    weights: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int_],
    columns: npt.NDArray[np.int_],
    tiles: tuple[int, int, int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Draw the places (rows x columns) from one tile after the other.

    Each tile's share is added with cairo's operator SATURATE: at most what is still lacking in
    opacity. Colours are multiplied by opacity (alpha), and all are rounded after each tile.
    """
    shares = np.zeros((max(tiles) + 1, len(rows), len(columns), 4))
    for (down, right), tile in zip(_AROUND, tiles, strict=True):
        around = np.ix_(rows + down, columns + right)
        weight = weights[down, right]
        covered = 1.0 if canvas.covered is None else canvas.covered[around][..., None]
        shares[tile, ..., :3] += canvas.pixels[around] * (weight / 255) * covered
        shares[tile, ..., 3:] += weight * covered
    drawn = np.zeros(shares.shape[1:])
    for share in shares:
        lacking, alpha = 1 - drawn[..., 3:], share[..., 3:]
        # 1e-6: what 24 bits of a float cannot tell from a whole number.
        part = np.minimum(1, lacking / np.maximum(alpha, 1e-9))
        drawn = np.minimum(np.floor((drawn + share * part) * 256 + 1e-6), 255) / 255
    rgba = np.rint(drawn * 255).astype(np.int64)
    # Without alpha in the colours, rounded down as openslide-python does.
    rgba[..., :3] = np.minimum(rgba[..., :3] * 255 // np.maximum(rgba[..., 3:], 1), 255)
    return composite(rgba.astype(np.uint8), canvas.background), rgba[..., 3] >= OPAQUE
