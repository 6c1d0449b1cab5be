import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from beamscope.transforms.slides.tissue import polygons as polygons_module
from beamscope.transforms.slides.tissue.polygons import add_coverage, ring_coverage

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


HOLE = np.array([[2.0, 1], [3, 1], [3, 2], [2, 2]])


@pytest.mark.parametrize(
    ("polygons", "expected"),
    [
        ([[SQUARE]], 6),
        ([[SQUARE + 0.25]], 6),
        ([[SQUARE, HOLE]], 5),
        ([[SQUARE, HOLE * [0.4, 1] + [1.2, 0]]], 5.6),
        ([[SQUARE, SQUARE]], 0),
        # A hole that is larger than its ring takes nothing from other polygons.
        ([[HOLE, SQUARE], [SQUARE + 0.25]], 6),
        ([[SQUARE + 100]], 0),
        ([[SQUARE - 100]], 0),
        ([[SQUARE * [1, 0]]], 0),
        # Half beyond an edge.
        ([[SQUARE - [2.5, 0]]], 3),
        ([[SQUARE - [-3.5, 0]]], 3),
        # The same polygon twice counts once; others are summed.
        ([[SQUARE], [SQUARE.copy()]], 6),
        ([[SQUARE], [HOLE]], 7),
        ([], 0),
    ],
)
def test_add_coverage(polygons: list[list[np.ndarray]], expected: float) -> None:
    total = np.zeros((5, 6))
    add_coverage([tuple(polygon) for polygon in polygons], total)
    assert total.sum() == pytest.approx(expected)


def random_rings(count: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    rings = []
    for _ in range(count):
        angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(3, 30)))
        radii = random.uniform(0.1, random.choice([0.5, 3, 15]), len(angles))
        ring = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        rings.append(ring[:: random.choice([-1, 1])] + random.uniform(-5, 45, 2))
    return rings


@pytest.mark.parametrize("cells", [1, 500, 1 << 21])
def test_many_rings_at_once_are_as_each_by_itself(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polygons_module, "_BATCH_CELLS", cells)
    rings = random_rings(200, 7)
    total = np.zeros((40, 30))
    add_coverage([(ring,) for ring in rings], total)
    expected = sum(ring_coverage(ring, (40, 30)) for ring in rings)
    np.testing.assert_allclose(total, expected, atol=1e-9)
