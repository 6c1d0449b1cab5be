from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.transforms.slides.fit import Fit


@pytest.fixture
def patches():
    return np.random.default_rng(0).integers(0, 256, (3, 30, 30, 3), np.uint8)


def test_crop_takes_the_middle_pixel_by_pixel(patches):
    fitted = Fit("crop", 20).apply(patches)
    for patch, one in zip(patches, fitted, strict=True):
        expected = Image.fromarray(patch).crop((5, 5, 25, 25))
        np.testing.assert_array_equal(one, np.asarray(expected))
    # Of an odd rest, one pixel more at the right and below.
    np.testing.assert_array_equal(Fit("crop", 29).apply(patches), patches[:, :29, :29])


@pytest.mark.parametrize("size", [10, 15, 21])
def test_resize_averages_areas(patches, size):
    with ThreadPoolExecutor(2) as threads:
        fitted = Fit("resize", size).apply(patches, threads)
    # TensorFlow's area resizing is exact for whole factors, and a box filter else.
    expected = tf.image.resize(patches.astype(np.float32), (size, size), method="area").numpy()
    tolerance = 0.51 if 30 % size == 0 else 25
    assert np.abs(fitted - expected).max() <= tolerance
    np.testing.assert_array_equal(fitted, Fit("resize", size).apply(patches))


def test_resize_enlarges(patches):
    smooth = np.broadcast_to(
        np.arange(0, 240, 8, dtype=np.uint8)[None, None, :, None], (1, 30, 30, 3)
    )
    fitted = Fit("resize", 60).apply(np.ascontiguousarray(smooth))
    assert fitted.shape == (1, 60, 60, 3)
    assert (np.diff(fitted[0, 0, :, 0].astype(int)) >= 0).all()


def test_no_patches_have_the_size_too(patches):
    for method in ("resize", "crop"):
        assert Fit(method, 20).apply(patches[:0]).shape == (0, 20, 20, 3)


def test_crop_of_a_smaller_patch_errors(patches):
    with pytest.raises(ValueError, match="no 31 px can be cropped from patches of 30 px"):
        Fit("crop", 31).apply(patches)
