"""Polygons on a pixel grid, by the exact area that they cover of each pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The outer ring, then the holes; each float64 [k, 2] of x, y, closed or not.
Polygon = tuple[F64, ...]


def covered_half(polygon: Sequence[F64], mask: Bools) -> None:
    """Sets the pixels of the mask of which the polygon covers half or more.

    Args:
      polygon: outer ring and holes in pixels of the mask; pixel i spans i to i + 1.
      mask: bool ``[h, w]``, changed in place; pixels that are set stay so.
    """
    outer = polygon[0]
    height, width = mask.shape
    left, top = (max(math.floor(value), 0) for value in outer.min(axis=0))
    right, bottom = (math.ceil(value) for value in outer.max(axis=0))
    right, bottom = min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        return
    shape, corner = (bottom - top, right - left), np.array([left, top])
    covered = ring_coverage(outer - corner, shape)
    for hole in polygon[1:]:
        covered -= ring_coverage(hole - corner, shape)
    # An exact half must not hang on the last digit.
    mask[top:bottom, left:right] |= covered >= 0.5 - 1e-9


def ring_coverage(ring: F64, shape: tuple[int, int]) -> F64:
    """The fraction of each pixel inside a ring, float64 ``[h, w]``, from 0 to 1.

    Every edge is cut where it crosses a pixel's border. A piece of height dy covers the part of its
    own pixel that lies right of it, and dy of every pixel further right; summing pieces with their
    signs along a row leaves the inside. Exact for rings that do not cross themselves; where one
    does, what it winds around twice counts once.
    """
    height, width = shape
    start, end = ring, np.roll(ring, -1, axis=0)
    edges, at = [np.arange(len(ring))] * 2, [np.zeros(len(ring)), np.ones(len(ring))]
    for axis, length in ((0, width), (1, height)):
        edge, crossing = _crossings(start[:, axis], end[:, axis], length)
        edges.append(edge)
        at.append(crossing)
    edge, t = np.concatenate(edges), np.concatenate(at)
    order = np.lexsort((t, edge))
    edge, t = edge[order], t[order]
    points = start[edge] + (end - start)[edge] * t[:, None]
    same = edge[1:] == edge[:-1]
    first, second = points[:-1][same], points[1:][same]

    middle, dy = (first + second) / 2, (second - first)[:, 1]
    row = np.floor(middle[:, 1]).astype(np.int64)
    # What lies left of the grid covers all of a row, what lies right of it nothing.
    x = np.clip(middle[:, 0], 0, width)
    inside = (row >= 0) & (row < height)
    row, x, dy = row[inside], x[inside], dy[inside]
    column = np.floor(x).astype(np.int64)
    beyond = x - column
    cell = row * (width + 2) + column
    size = height * (width + 2)
    total = np.bincount(cell, dy * (1 - beyond), size) + np.bincount(cell + 1, dy * beyond, size)
    winding = total.reshape(height, width + 2).cumsum(axis=1)[:, :width]
    return np.asarray(np.minimum(np.abs(winding), 1))


def _crossings(start: F64, end: F64, length: int) -> tuple[npt.NDArray[np.int64], F64]:
    """Where edges cross the whole numbers 0 to `length`: which edge, and how far along, 0 to 1."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.maximum(np.floor(low).astype(np.int64) + 1, 0)
    last = np.minimum(np.ceil(high).astype(np.int64) - 1, length)
    counts = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(len(start)), counts)
    nth = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts)
    whole = first[edge] + nth
    return edge, (whole - start[edge]) / (end - start)[edge]
