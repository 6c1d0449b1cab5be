import io

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.slides.picture import draw_plan, mark_failed
from beamscope.transforms.slides.readers.geometry import Region
from beamscope.transforms.slides.tissue.thumbnail import Thumbnail

GLASS = 240


def thumbnail(height, width, scale=10.0):
    return Thumbnail(
        np.full((height, width, 3), GLASS, np.uint8),
        np.ones((height, width), np.bool_),
        np.zeros((height, width), np.bool_),
        Region(100, 200, round(width * scale), round(height * scale)),
        scale,
        scale,
    )


def decode(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def test_patches_are_drawn_where_they_lie():
    x, y = np.array([100 + 1000]), np.array([200 + 2000])
    picture = draw_plan(thumbnail(400, 300), [], 1.0, x, y, 500)
    image = decode(picture.jpeg)
    assert (picture.x_level0, picture.y_level0) == (100, 200)
    assert image.shape == (400, 300, 3)
    blue = image[..., 2] - image[..., 0] > 100
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max()) == (200, 249)
    assert (columns.min(), columns.max()) == (100, 149)
    # Inside it is tinted, outside it is untouched.
    assert image[225, 125, 0] < GLASS - 10
    assert np.abs(image[100, 50] - GLASS).max() <= 2


def test_the_outline_is_scaled_from_its_mask():
    contour = np.array([[10, 10], [40, 10], [40, 30], [10, 30]], np.int32)
    none = np.empty(0, int)
    image = decode(draw_plan(thumbnail(200, 200), [contour], 4.0, none, none, 1).jpeg)
    green = image[..., 1] - image[..., 0] > 80
    rows, columns = np.nonzero(green)
    assert abs(rows.min() - 42) <= 2
    assert abs(rows.max() - 122) <= 2
    assert abs(columns.max() - 162) <= 2


def test_large_thumbnails_are_shrunk():
    none = np.empty(0, int)
    picture = draw_plan(thumbnail(3000, 1500), [], 1.0, none, none, 1)
    assert max(decode(picture.jpeg).shape) == 1400
    assert np.isclose(picture.scale, 30000 / 1400, rtol=1e-3)


def test_failed_patches_are_crossed_out_in_red():
    none = np.empty(0, int)
    picture = draw_plan(thumbnail(400, 300), [], 1.0, none, none, 500)
    marked = decode(mark_failed(picture, np.array([1100]), np.array([2200]), 500))
    red = (marked[..., 0] - marked[..., 1] > 100) & (marked[..., 0] - marked[..., 2] > 100)
    rows, columns = np.nonzero(red)
    assert abs(rows.min() - 200) <= 2
    assert abs(rows.max() - 249) <= 2
    assert red[225, 125]
    assert abs(columns.min() - 100) <= 2
    # Marking starts from the clean picture, so that doing it again gives the same.
    again = mark_failed(picture, np.array([1100]), np.array([2200]), 500)
    np.testing.assert_array_equal(decode(again), marked)


def test_a_dark_slide_is_drawn_on_in_bright_colours():
    dark = thumbnail(400, 300)
    dark.rgb[:] = 4
    x, y = np.array([1100]), np.array([2200])
    picture = draw_plan(dark, [], 1.0, x, y, 500)
    image = decode(picture.jpeg)
    assert picture.dark
    # The edge differs from the ground by far more than the tint inside.
    assert image[200, 125].max() > 150
    assert image[100, 50].max() < 10
    assert not draw_plan(thumbnail(400, 300), [], 1.0, x, y, 500).dark


@pytest.mark.parametrize(("stride", "overlapping"), [(500, False), (250, True), (400, True)])
def test_overlapping_patches_are_told_apart(stride, overlapping):
    x = np.array([1100, 1100 + stride, 1100 + 2 * stride])
    picture = draw_plan(thumbnail(400, 400), [], 1.0, x, np.full(3, 2200), 500)
    image = decode(picture.jpeg)
    orange = (image[..., 0] - image[..., 2] > 120) & (image[..., 1] > 60)
    assert picture.overlapping is overlapping
    assert orange.any() is np.bool_(overlapping)
