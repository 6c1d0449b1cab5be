import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.slides.planning.grid import block_slices, in_block_order, lay_grid
from beamscope.transforms.slides.readers.geometry import ReadPlan, Region


def read_plan(read_px=448, patch_px=224, downsample=1.0):
    return ReadPlan(0, downsample, read_px, patch_px, 0.5, 0.25)


@pytest.mark.parametrize(
    ("region", "read", "stride_px", "x", "y"),
    [
        (Region(0, 0, 1000, 500), read_plan(), 224, [0, 448], [0]),
        (Region(0, 0, 896, 896), read_plan(), 224, [0, 448], [0, 448]),
        (Region(0, 0, 895, 447), read_plan(), 224, [], []),
        # openslide.bounds-*: the grid starts where the content does.
        (Region(100, 37, 448, 448), read_plan(), 224, [100], [37]),
        (Region(0, 0, 900, 448), read_plan(), 112, [0, 224, 448], [0]),
        (Region(0, 0, 1400, 448), read_plan(), 448, [0, 896], [0]),
        # On a level of 2.0005, positions are level pixels taken to level 0.
        (Region(0, 0, 1350, 450), read_plan(224, 224, 2.0005), 224, [0, 448, 896], [0]),
        (Region(0, 0, 10, 10), read_plan(1, 1), 1, list(range(10)), list(range(10))),
    ],
)
def test_lay_grid(region, read, stride_px, x, y):
    grid = lay_grid(region, read, stride_px)
    assert sorted(set(grid.x_level0)) == x
    assert sorted(set(grid.y_level0)) == y
    assert len(grid) == len(x) * len(y)
    # Row by row from the top, each row from the left.
    assert list(zip(grid.y_level0, grid.x_level0, strict=True)) == [(b, a) for b in y for a in x]


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    left=st.integers(0, 1000),
    top=st.integers(0, 1000),
    read_px=st.integers(50, 600),
    stride_px=st.integers(20, 500),
    downsample=st.sampled_from([1.0, 2.0, 2.0005, 4.0024]),
)
def test_patches_lie_in_the_region_and_fill_it(
    width, height, left, top, read_px, stride_px, downsample
):
    read = read_plan(read_px, 224, downsample)
    grid = lay_grid(Region(left, top, width, height), read, stride_px)
    step = max(1, round(stride_px * read_px / 224)) * downsample
    for position, low, extent in ((grid.x_level0, left, width), (grid.y_level0, top, height)):
        if len(grid):
            assert position.min() == low
            # A pixel of grace, for levels whose downsample is rounded.
            assert position.max() + read.size_level0 <= low + extent + 1
            # No further patch would have fitted.
            assert position.max() + step + read.size_level0 > low + extent
    assert len(grid) or min(width, height) < read.size_level0


@given(columns=st.integers(1, 40), rows=st.integers(1, 40), block=st.integers(1, 300))
def test_blocks_hold_every_patch_once(columns, rows, block):
    grid = lay_grid(Region(0, 0, columns * 448, rows * 448), read_plan(), 224)
    ordered = in_block_order(grid, block)
    places = set(zip(ordered.row, ordered.column, strict=True))
    assert len(ordered) == columns * rows == len(places)
    slices = block_slices(len(ordered), block)
    assert [part.start for part in slices] == list(range(0, len(ordered), block))
    assert slices[-1].stop == len(ordered)


def test_blocks_are_compact():
    grid = lay_grid(Region(0, 0, 64 * 448, 64 * 448), read_plan(), 224)
    ordered = in_block_order(grid, 256)
    for part in block_slices(len(ordered), 256):
        assert np.ptp(ordered.row[part]) == 15
        assert np.ptp(ordered.column[part]) == 15


def test_neighbouring_cells_follow_each_other():
    grid = lay_grid(Region(0, 0, 40 * 448, 40 * 448), read_plan(), 224)
    ordered = in_block_order(grid, 100)
    centres = [
        (ordered.row[part].mean(), ordered.column[part].mean()) for part in block_slices(1600, 100)
    ]
    steps = [np.hypot(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(centres)]
    assert max(steps) == 10
