"""Noise for sample slides, the same on every machine.

Only exactly rounded operations act on pixels. Values that come from a Fourier transform or a
transcendental function are rounded coarsely, because machines differ in their last digits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U32 = npt.NDArray[np.uint32]

LATTICE = 16  # px between points of the large shapes; every TIFF tile size is a multiple of it
PLATE_MARGIN = 1024  # px, the largest tile


def hash_uint32(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], salt: int) -> U32:
    """Return a uniform uint32 for each pair of integers, by the 32-bit mixer `lowbias32`.

    Constants: Wellons, "Prospecting for Hash Functions" (2018), public domain.
    """
    h = x.astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(salt & 0xFFFFFFFF)
    h = _mix(h) ^ y.astype(np.uint32)
    return _mix(h)


def _mix(h: U32) -> U32:
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0xD35A2D97)
    return h ^ (h >> np.uint32(15))


def _unit(h: U32) -> F64:
    return h.astype(np.float64) * 2.0**-32


def value_noise(x: F64, y: F64, wavelength: float, salt: int) -> F64:
    """Return smooth noise from -1 to 1 at the points (x, y), in the unit of `wavelength`."""
    x, y = x / wavelength, y / wavelength
    left, top = np.floor(x), np.floor(y)
    u, v = x - left, y - top
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    i, j = left.astype(np.int64), top.astype(np.int64)
    # The four corners of every point in one call: the arrays are small, calls are what costs.
    corners = _unit(
        hash_uint32(np.stack([i, i + 1, i, i + 1]), np.stack([j, j, j + 1, j + 1]), salt)
    )
    upper = corners[0] + (corners[1] - corners[0]) * u
    lower = corners[2] + (corners[3] - corners[2]) * u
    return 2 * (upper + (lower - upper) * v) - 1


def plate(
    rng: np.random.Generator, period: int, wavelengths: tuple[float, float], waves: bool
) -> F32:
    """Make a periodic plate of noise, float32 of unit variance in steps of 1/64, with its margin.

    Args:
      rng: of the slide.
      period: of the plate in both directions, px.
      wavelengths: the shortest that stay, along and across the grain, px.
      waves: whether the grain runs in waves and in two directions, as collagen does.
    """
    fx, fy = np.meshgrid(np.fft.fftfreq(period), np.fft.fftfreq(period))
    spectrum = np.fft.fft2(rng.normal(size=(period, period)))

    def smooth(along: float, across: float) -> F64:
        gain = np.exp(-2 * math.pi * ((fx * along) ** 2 + (fy * across) ** 2))
        filtered: F64 = np.fft.ifft2(spectrum * gain).real
        return np.asarray(filtered / filtered.std())

    plate = smooth(*wavelengths)
    if waves:
        sway = np.rint(smooth(60, 60) * wavelengths[0] * 1.2).astype(np.int64)
        row, column = np.indices(plate.shape)
        lengthwise = plate[(row + sway) % period, column]
        crosswise = plate.T[row, (column + sway) % period]
        plate = 0.75 * lengthwise + 0.5 * crosswise
        plate = plate / plate.std()
    return np.asarray(wrapped(np.rint(plate * 64) / 64), np.float32)


def wrapped(plate: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Continue the plate by `PLATE_MARGIN`, so that any rectangle is one slice of it."""
    pad = [(0, PLATE_MARGIN)] * 2 + [(0, 0)] * (plate.ndim - 2)
    return np.pad(plate, pad, mode="wrap")


def cut(plate: npt.NDArray[Any], x: int, y: int, width: int, height: int) -> npt.NDArray[Any]:
    """Return the rectangle at (x, y) of the endless plane that a wrapped plate tiles."""
    top = y % (plate.shape[0] - PLATE_MARGIN)
    left = x % (plate.shape[1] - PLATE_MARGIN)
    return plate[top : top + height, left : left + width]


def upsample(lattice: F64) -> F32:
    """Interpolate lattice points bilinearly: float32 ``[LATTICE*(m-1), LATTICE*(n-1)]``."""
    points = lattice.astype(np.float32)
    step = np.arange(LATTICE, dtype=np.float32) / LATTICE
    rows = points[:-1, None] + np.diff(points, axis=0)[:, None] * step[:, None]
    rows = rows.reshape(-1, points.shape[1])
    both = rows[:, :-1, None] + np.diff(rows, axis=1)[:, :, None] * step
    return np.asarray(both.reshape(len(rows), -1), np.float32)
