import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.images.fit import Fit
from beamscope.transforms.problems import InputError

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("shape", [(64, 64), (96, 64), (32, 128)])
def test_resize_down_averages_areas_as_tensorflow_does(shape):
    image = RNG.integers(0, 256, (*shape, 3), np.uint8)
    expected = tf.image.resize(image, (32, 32), method="area").numpy()
    found = Fit(32).apply(image)
    assert found.shape == (32, 32, 3)
    assert np.abs(found - expected).max() <= 0.51


def test_resize_up_is_linear_as_tensorflow_does():
    image = RNG.integers(0, 256, (16, 16, 3), np.uint8)
    expected = tf.image.resize(image, (32, 32), method="bilinear").numpy()
    assert np.abs(Fit(32).apply(image) - expected).max() <= 1


@pytest.mark.parametrize(("shape", "top", "left"), [((10, 9), 1, 0), ((8, 13), 0, 2)])
def test_crop_takes_the_middle(shape, top, left):
    image = RNG.integers(0, 256, (*shape, 3), np.uint8)
    found = Fit(8, "crop").apply(image)
    np.testing.assert_array_equal(found, image[top : top + 8, left : left + 8])


@pytest.mark.parametrize("method", ["resize", "crop"])
def test_an_image_of_the_right_size_stays_as_it_is(method):
    image = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(Fit(8, method).apply(image), image)


def test_a_crop_from_less_errors():
    with pytest.raises(InputError, match="8 px cannot be cropped from 20 x 7 px") as caught:
        Fit(8, "crop").apply(np.zeros((7, 20, 3), np.uint8))
    assert caught.value.kind == "too_small"
