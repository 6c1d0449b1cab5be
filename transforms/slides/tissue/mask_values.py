"""The values of mask images: which of them are tissue, and which are certain."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
# Of the samples of a mask, or of a piece of one that is read by pieces: RGB of 13,000 px square.
MOST_MASK_BYTES = 1 << 29
# A mask with more pixels is averaged down, where less suffices.
MANY_PIXELS = 1 << 26


def check_mask_bytes(path: Path, size: tuple[int, int], bytes_a_pixel: int) -> None:
    """Refuse a mask, or a piece of one, before room is made for its samples.

    Raises:
      InputError: ``bad_mask``.
    """
    needed = size[0] * size[1] * bytes_a_pixel
    if needed > MOST_MASK_BYTES:
        raise InputError(
            Kind.BAD_MASK,
            f"{path} is too large: {size[0]:,} x {size[1]:,} px take {needed:,} bytes at a time, "
            f"{MOST_MASK_BYTES:,} are allowed; save it smaller, as a mask needs 8 µm/px at most",
        )


@dataclasses.dataclass(frozen=True, eq=False)
class MaskImage:
    """The pixels of a mask, as they are or averaged down.

    Attributes:
      pixels: bool ``[h, w]``, True for tissue; or float32, the part of each pixel that is.
      width: of the mask, in these pixels; not a whole number where the last column is cut.
      height: likewise.
    """

    pixels: npt.NDArray[np.bool_] | npt.NDArray[np.float32]
    width: float
    height: float


def averaged(tissue: npt.NDArray[np.bool_], enough: tuple[float, float] | None) -> MaskImage:
    """Return a mask, averaged down by a whole number where it is large and less suffices.

    Args:
      tissue: of the whole mask.
      enough: width and height in pixels that suffice; None for all that there are.
    """
    height, width = tissue.shape
    factor = 1
    if enough and tissue.size > MANY_PIXELS:
        factor = max(1, int(min(width / enough[0], height / enough[1])))
    if factor == 1:
        return MaskImage(tissue, width, height)
    rows, columns = (np.arange(0, length, factor) for length in tissue.shape)
    sums = np.add.reduceat(tissue, columns, axis=1, dtype=np.uint16)
    total = np.add.reduceat(sums, rows, axis=0, dtype=np.float32)
    tall, wide = (
        np.diff(np.append(starts, length)) for starts, length in ((rows, height), (columns, width))
    )
    parts = (total / np.outer(tall, wide)).astype(np.float32)
    return MaskImage(parts, width / factor, height / factor)


def background_indices(
    path: Path, palette: Sequence[tuple[int, ...]], used: Collection[int]
) -> tuple[int, ...]:
    """Return the indices of a palette that are no tissue: 0, and whatever is transparent.

    Index 0 is the background whatever its colour: QuPath's labelled images show it white.

    Args:
      path: of the mask, for the message.
      palette: colours by index, RGB or RGBA.
      used: the indices that occur.

    Raises:
      InputError: ``bad_mask`` where index 0 is a colour and another index is black: programs that
        reduce a colour picture to a palette put its colours in any order.
    """
    shown = [index for index in sorted(used) if index < len(palette)]
    transparent = [index for index in shown if palette[index][3:] == (0,)]
    black = [
        index
        for index in shown
        if index and index not in transparent and tuple(palette[index][:3]) == _BLACK
    ]
    first = tuple(palette[0][:3]) if palette else _BLACK
    if 0 in used and 0 not in transparent and black and first not in (_BLACK, _WHITE):
        raise InputError(
            Kind.BAD_MASK,
            f"{path} has a palette whose index 0, the background, is the colour {first}, and whose "
            f"index {black[0]} is black; save the mask in grey, with 0 for the background",
        )
    return (0, *(index for index in transparent if index))


def largest(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the largest of each pixel's samples: ``[h, w, samples]`` to ``[h, w]``."""
    return values[..., 0] if values.shape[-1] == 1 else np.asarray(values.max(axis=-1))


def is_lossless_webp(data: bytes) -> bool:
    """Return whether a WebP file holds its pixels as they were: a VP8L chunk, and none of VP8.

    As the container specification has it: chunks of four letters, length and padded data.
    """
    at, found = 12, False
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name in (b"VP8 ", b"ANMF", b"ANIM"):
            return False
        found |= name == b"VP8L"
        at += 8 + size + size % 2
    return found
