import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.slides.readers.native.subpixel import Canvas, shift
from tests.slides.readers.native.files import blobs

WHITE = (255, 255, 255)
PIXELS = blobs(41, 31)


def canvas(pixels=PIXELS, covered=None, column_seams=(), row_seams=(), background=WHITE) -> Canvas:
    return Canvas(pixels, covered, list(column_seams), list(row_seams), background)


def interpolated(pixels: np.ndarray, right: float, down: float) -> np.ndarray:
    rows = (1 - down) * pixels[:-1].astype(float) + down * pixels[1:]
    return (1 - right) * rows[:, :-1] + right * rows[:, 1:]


FRACTION = st.floats(0, 1, exclude_max=True)


@settings(deadline=None)
@given(FRACTION, FRACTION)
def test_linear_interpolation(right, down):
    shifted, scanned = shift(canvas(), right, down)
    assert scanned is None
    assert shifted.shape == (30, 40, 3)
    assert np.abs(shifted - interpolated(PIXELS, right, down)).max() <= 1


@settings(deadline=None)
@given(FRACTION, FRACTION)
def test_a_seam_costs_a_rounding(right, down):
    seams = {"column_seams": [7, 15], "row_seams": [3]}
    shifted, _ = shift(canvas(**seams), right, down)
    difference = np.abs(shifted - interpolated(PIXELS, right, down))
    assert difference.max() <= 4
    elsewhere = np.delete(np.delete(difference, [7, 15], 1), 3, 0)
    assert elsewhere.max() <= 1


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_whole_pixels_are_kept(right, down):
    seams = {"column_seams": [7], "row_seams": [3]}
    expected = PIXELS[down : 30 + down, right : 40 + right]
    for covered in (None, np.ones((31, 41), bool)):
        shifted, scanned = shift(canvas(covered=covered, **seams), right, down)
        assert np.array_equal(shifted, expected)
        assert scanned is None or scanned.all()


@settings(deadline=None)
@given(FRACTION, FRACTION)
def test_what_is_not_covered_is_background(right, down):
    covered = np.zeros((31, 41), bool)
    covered[:12, :20] = True
    background = (10, 200, 30)
    shifted, scanned = shift(canvas(covered=covered, background=background), right, down)
    # A place of which half or more is covered was scanned.
    share = interpolated(np.where(covered[..., None], 255.0, 0.0), right, down)[..., 0]
    certain = np.abs(share - 127.5) > 2
    assert np.array_equal(scanned[certain], share[certain] > 127.5)
    assert (shifted[12:] == background).all()
    assert (shifted[:, 20:] == background).all()
    # Between the two, background counts as any pixel does.
    laid = np.where(covered[..., None], PIXELS, np.array(background, np.uint8))
    assert np.abs(shifted - interpolated(laid, right, down)).max() <= 3


@pytest.mark.parametrize("value", [0, 1, 127, 128, 254, 255])
def test_even_areas_stay_even(value):
    even = np.full((31, 41, 3), value, np.uint8)
    for covered in (None, np.ones((31, 41), bool)):
        assert (shift(canvas(even, covered), 0.3, 0.7)[0] == value).all()
