"""Compute the exact area that polygons cover of each pixel of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# The outer ring, then the holes; each float64 [k, 2] of x, y, closed or not.
Polygon = tuple[F64, ...]
# Left, top, width and height in pixels.
_Window = tuple[int, int, int, int]

# Cells of the windows that are computed in one go: 16 MB of float64.
_BATCH_CELLS = 1 << 21


def add_coverage(polygons: Iterable[Polygon], total: F64) -> None:
    """Add the area that each polygon covers of each pixel; the sum is not clipped.

    Small pieces of tissue, such as nuclei or tiles of a few µm, then keep their area however the
    pixels lie. A polygon that is given twice counts once.

    Args:
      polygons: each an outer ring and holes in pixels of the grid; pixel i spans i to i + 1.
      total: float64 ``[h, w]``, changed in place; 1 stands for a whole pixel.
    """
    seen: set[bytes] = set()
    batch: list[F64] = []
    windows: list[_Window] = []
    cells = 0
    for polygon in polygons:
        window = _window(polygon[0], total.shape)
        if window is None or (name := b"|".join(ring.tobytes() for ring in polygon)) in seen:
            continue
        seen.add(name)
        left, top, width, height = window
        if len(polygon) == 1:
            batch.append(polygon[0])
            windows.append(window)
            cells += height * (width + 2)
            if cells >= _BATCH_CELLS:
                _add_rings(batch, windows, total)
                batch, windows, cells = [], [], 0
            continue
        corner = np.array([left, top])
        covered = ring_coverage(polygon[0] - corner, (height, width))
        for hole in polygon[1:]:
            covered -= ring_coverage(hole - corner, (height, width))
        total[top : top + height, left : left + width] += np.maximum(covered, 0)
    if batch:
        _add_rings(batch, windows, total)


def ring_coverage(ring: F64, shape: tuple[int, int]) -> F64:
    """Return the fraction of each pixel inside a ring, float64 ``[h, w]``, from 0 to 1.

    Every edge is cut where it crosses a pixel's border. A piece of height dy covers the part of its
    own pixel that lies right of it, and dy of every pixel further right; summing pieces with their
    signs along a row leaves the inside. Exact for rings that do not cross themselves; where one
    does, what it winds around twice counts once.
    """
    height, width = shape
    covered = np.zeros(shape)
    _add_rings([ring], [(0, 0, width, height)], covered)
    return covered


def _window(ring: F64, shape: tuple[int, ...]) -> _Window | None:
    """Return left, top, width and height of the pixels that a ring can touch; None for none."""
    height, width = shape
    left, top = (max(math.floor(value), 0) for value in ring.min(axis=0))
    right, bottom = (math.ceil(value) for value in ring.max(axis=0))
    right, bottom = min(right, width), min(bottom, height)
    return (left, top, right - left, bottom - top) if left < right and top < bottom else None


def _add_rings(rings: Sequence[F64], windows: Sequence[_Window], total: F64) -> None:
    """Add the coverage of rings, each computed in a window of its own, all in one go.

    The windows lie one after the other in one array, row by row, each row with two cells more
    than the window is wide. A closed ring winds back to 0 along each row, so that one running sum
    serves all of them.
    """
    lengths = np.array([len(ring) for ring in rings])
    left, top, width, height = np.array(windows, np.int64).T
    sizes = height * (width + 2)
    first_cell = sizes.cumsum() - sizes
    owner = np.repeat(np.arange(len(rings)), lengths)
    start = np.concatenate(rings) - np.stack([left, top], axis=1)[owner]
    following = np.arange(1, len(start) + 1)
    following[lengths.cumsum() - 1] = lengths.cumsum() - lengths
    end = start[following]

    edges, at = [np.arange(len(start))] * 2, [np.zeros(len(start)), np.ones(len(start))]
    for axis, length in ((0, width), (1, height)):
        edge, crossing = _crossings(start[:, axis], end[:, axis], length[owner])
        edges.append(edge)
        at.append(crossing)
    edge, t = np.concatenate(edges), np.concatenate(at)
    order = np.lexsort((t, edge))
    edge, t = edge[order], t[order]
    points = start[edge] + (end - start)[edge] * t[:, None]
    same = edge[1:] == edge[:-1]
    first, second, ring = points[:-1][same], points[1:][same], owner[edge[:-1][same]]

    middle, dy = (first + second) / 2, (second - first)[:, 1]
    row = np.floor(middle[:, 1]).astype(np.int64)
    # What lies left of the window covers all of a row, what lies right of it nothing.
    x = np.clip(middle[:, 0], 0, width[ring])
    inside = (row >= 0) & (row < height[ring])
    row, x, dy, ring = row[inside], x[inside], dy[inside], ring[inside]
    column = np.floor(x).astype(np.int64)
    beyond = x - column
    cell = first_cell[ring] + row * (width[ring] + 2) + column
    size = int(sizes.sum())
    winding = np.bincount(cell, dy * (1 - beyond), size) + np.bincount(cell + 1, dy * beyond, size)
    if len(rings) == 1:
        # By itself, a ring's rows are summed one by one, which keeps every digit.
        covered = winding.reshape(int(height[0]), -1).cumsum(axis=1)[:, : int(width[0])]
        box = total[top[0] : top[0] + height[0], left[0] : left[0] + width[0]]
        box += np.minimum(np.abs(covered), 1)
        return
    covered = np.minimum(np.abs(winding.cumsum()), 1)
    place = np.arange(size) - np.repeat(first_cell, sizes)
    row, column = np.divmod(place, np.repeat(width + 2, sizes))
    kept = column < np.repeat(width, sizes)
    target = (row + np.repeat(top, sizes)) * total.shape[1] + column + np.repeat(left, sizes)
    np.add.at(total.reshape(-1), target[kept], covered[kept])


def _crossings(start: F64, end: F64, length: Ints) -> tuple[Ints, F64]:
    """Find where edges cross the whole numbers 0 to `length`: edge, and place on it, 0 to 1."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.maximum(np.floor(low).astype(np.int64) + 1, 0)
    last = np.minimum(np.ceil(high).astype(np.int64) - 1, length)
    counts = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(len(start)), counts)
    nth = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts)
    whole = first[edge] + nth
    return edge, (whole - start[edge]) / (end - start)[edge]
