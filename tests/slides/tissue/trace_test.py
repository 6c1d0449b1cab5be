import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from beamscope.transforms.slides.tissue.polygons import add_coverage
from beamscope.transforms.slides.tissue.trace import trace

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(MASKS)
def test_polygons_cover_exactly_the_mask(mask):
    polygons = trace(mask)
    covered = np.zeros(mask.shape)
    add_coverage(polygons, covered)
    np.testing.assert_array_equal(covered, mask)
    # By another library, on pixels so fine that each has its middle in one of them.
    drawn = np.zeros([4 * side + 1 for side in mask.shape], np.uint8)
    for polygon in polygons:
        one = np.zeros_like(drawn)
        cv2.fillPoly(one, [np.asarray(4 * ring, np.int32) for ring in polygon], 1)
        assert not (drawn & one)[2::4, 2::4].any()
        drawn |= one
    np.testing.assert_array_equal(drawn[2::4, 2::4], mask)


@pytest.mark.parametrize(
    ("rows", "rings"),
    [
        (["..", ".."], []),
        (["#"], [[4]]),
        (["##", "##"], [[4]]),
        (["##", "#."], [[6]]),
        # Objects that touch at a corner are two; a hole belongs to the object around it.
        (["#.", ".#"], [[4], [4]]),
        (["###", "#.#", "###"], [[4, 4]]),
        (["#####", "#...#", "#.#.#", "#...#", "#####"], [[4, 4], [4]]),
    ],
)
def test_trace(rows, rings):
    mask = np.array([[cell == "#" for cell in row] for row in rows])
    polygons = trace(mask)
    assert [[len(ring) - 1 for ring in polygon] for polygon in polygons] == rings
    assert all((ring[0] == ring[-1]).all() for polygon in polygons for ring in polygon)
