import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from beamscope.transforms.slides.tissue.polygons import covered_half, ring_coverage

SQUARE = np.array([[1.0, 1], [4, 1], [4, 3], [1, 3]])


def shoelace(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@pytest.mark.parametrize(
    ("ring", "expected"),
    [
        ([[0, 0], [2, 0], [2, 1], [0, 1]], [[1, 1, 0], [0, 0, 0]]),
        ([[0, 0], [0, 1], [2, 1], [2, 0]], [[1, 1, 0], [0, 0, 0]]),
        ([[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]], [[1, 1, 0], [0, 0, 0]]),
        ([[0.5, 0.25], [1.5, 0.25], [1.5, 1], [0.5, 1]], [[0.375, 0.375, 0], [0, 0, 0]]),
        ([[0, 0], [2, 0], [0, 2]], [[1, 0.5, 0], [0.5, 0, 0]]),
        ([[-5, -5], [1.5, -5], [1.5, 9], [-5, 9]], [[1, 0.5, 0], [1, 0.5, 0]]),
        ([[-9, -9], [9, -9], [9, 9], [-9, 9]], [[1, 1, 1], [1, 1, 1]]),
        ([[5, 0], [9, 0], [9, 2], [5, 2]], [[0, 0, 0], [0, 0, 0]]),
        ([[1, 1], [1, 1], [1, 1]], [[0, 0, 0], [0, 0, 0]]),
        # A bow tie covers both of its wings.
        ([[0, 0], [0, 2], [2, 0], [2, 2]], [[0.5, 0.5, 0], [0.5, 0.5, 0]]),
    ],
)
def test_ring_coverage(ring: list[list[float]], expected: list[list[float]]) -> None:
    found = ring_coverage(np.array(ring, float), (2, 3))
    np.testing.assert_allclose(found, expected, atol=1e-12)


coordinate = st.floats(-30, 60, allow_nan=False, width=32)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=3))
def test_a_triangles_area_is_found(points: list[tuple[float, float]]) -> None:
    ring = np.array(points)
    area = ring_coverage(ring + 30, (90, 90)).sum()
    assert area == pytest.approx(shoelace(ring), abs=1e-6)


@given(
    st.lists(st.floats(0.2, 1.0), min_size=5, max_size=40),
    st.floats(5, 15),
    st.floats(5, 15),
    st.booleans(),
)
def test_coverage_agrees_with_a_fine_drawing(
    radii: list[float], x: float, y: float, backwards: bool
) -> None:
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None] * 9 + (x, y)
    ring = ring[::-1] if backwards else ring
    fine = Image.new("1", (20 * 32, 20 * 32))
    ImageDraw.Draw(fine).polygon([tuple(point) for point in ring * 32 - 0.5], fill=1)
    expected = np.asarray(fine).reshape(20, 32, 20, 32).mean(axis=(1, 3))
    # Pillow draws the border too, which is up to a fine pixel of every edge.
    assert np.abs(ring_coverage(ring, (20, 20)) - expected).max() < 0.25
    assert np.abs(ring_coverage(ring, (20, 20)) - expected).mean() < 0.02


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        ([SQUARE], 6),
        ([SQUARE + 0.25], 6),
        ([SQUARE, np.array([[2.0, 1], [3, 1], [3, 2], [2, 2]])], 5),
        ([SQUARE, np.array([[2.0, 1], [2.4, 1], [2.4, 2], [2, 2]])], 6),
        ([SQUARE, SQUARE], 0),
        ([SQUARE + 100], 0),
        ([SQUARE - 100], 0),
        ([SQUARE * [1, 0]], 0),
    ],
)
def test_covered_half(polygon: list[np.ndarray], expected: int) -> None:
    mask = np.zeros((5, 6), bool)
    covered_half(polygon, mask)
    assert mask.sum() == expected


def test_covered_half_is_a_union() -> None:
    mask = np.zeros((5, 6), bool)
    hole = np.array([[2.0, 1], [3, 1], [3, 2], [2, 2]])
    covered_half([SQUARE], mask)
    covered_half([SQUARE + 1, hole + 1], mask)
    # The hole at (3, 2) is inside the first square.
    assert mask.sum() == 6 + 6 - 2
    assert mask[2, 3]
