"""Trace a mask as polygons along the edges of its pixels, so that they cover it exactly."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.tissue.polygons import Polygon

# Right, down, left, up, with y pointing down: the tissue is on the right hand of each edge.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def trace(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Return the polygons of a mask, one for each object (4-connected), with its holes.

    Args:
      mask: bool ``[h, w]``.

    Returns:
      for each object its outer ring, then its holes; each float64 ``[k, 2]`` of x and y in pixels
      of the mask, closed, without points on straight lines. Pixel i spans i to i + 1.
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    outgoing, owner = _edges(np.asarray(labels, np.int32))
    outer: dict[int, npt.NDArray[np.float64]] = {}
    holes: dict[int, list[npt.NDArray[np.float64]]] = defaultdict(list)
    while outgoing:
        start = next(iter(outgoing))
        label = owner[start, outgoing[start][0]]
        ring = _ring(outgoing, start)
        if _signed_area(ring) > 0:
            outer[label] = ring
        else:
            holes[label].append(ring)
    return [(outer[label], *holes[label]) for label in sorted(outer)]


def _edges(
    labels: npt.NDArray[np.int32],
) -> tuple[dict[tuple[int, int], list[int]], dict[tuple[tuple[int, int], int], int]]:
    """Return the directions of the edges from each corner, and the object of each edge."""
    framed = np.pad(labels, 1)
    inside = framed[1:-1, 1:-1]
    neighbours = (framed[:-2, 1:-1], framed[1:-1, 2:], framed[2:, 1:-1], framed[1:-1, :-2])
    # Where the edge above, right of, below and left of a pixel begins, seen from the pixel.
    begins = ((0, 0), (1, 0), (1, 1), (0, 1))
    outgoing: dict[tuple[int, int], list[int]] = defaultdict(list)
    owner: dict[tuple[tuple[int, int], int], int] = {}
    for direction, (neighbour, (dx, dy)) in enumerate(zip(neighbours, begins, strict=True)):
        rows, columns = np.nonzero((inside > 0) & (neighbour != inside))
        found = inside[rows, columns].tolist()
        for x, y, label in zip((columns + dx).tolist(), (rows + dy).tolist(), found, strict=True):
            outgoing[x, y].append(direction)
            owner[(x, y), direction] = label
    return outgoing, owner


def _ring(
    outgoing: dict[tuple[int, int], list[int]], start: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Follow edges from a corner until it is reached again, and take them out."""
    points = []
    place, direction = start, -1
    while True:
        ways = outgoing[place]
        # Where two objects touch at a corner, the way to the right stays with the same one.
        if direction >= 0 and len(ways) > 1:
            way = (direction + 1) % 4 if (direction + 1) % 4 in ways else ways[0]
        else:
            way = ways[0]
        ways.remove(way)
        if not ways:
            del outgoing[place]
        if way != direction:
            points.append(place)
        place = (place[0] + _STEPS[way][0], place[1] + _STEPS[way][1])
        direction = way
        if place == start:
            break
    return np.array([*points, points[0]], np.float64)


def _signed_area(ring: npt.NDArray[np.float64]) -> float:
    x, y = ring.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
