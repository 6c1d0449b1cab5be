import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.image_files.resizing import RESIZE_METHODS, method_of_card, resized
from beamscope.transforms.inference.cards.card import RESIZES

# Pillow rounds to grey levels after the columns and after the rows; TensorFlow does not round.
ROUNDING = 1.51


def tissue(size: int) -> np.ndarray:
    """Smooth colours with sharp edges and fine noise, as slides have."""
    draw = np.random.default_rng(size)
    # Far from black and white, beyond which Pillow cuts after the columns, too.
    coarse = draw.integers(70, 186, (1, size // 8, size // 8, 3))
    image = tf.image.resize(coarse, (size, size), "nearest").numpy()[0].astype(np.float64)
    return (image + draw.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("side", "target"), [(512, 224), (256, 224), (448, 224), (128, 224)])
@pytest.mark.parametrize(
    ("method", "kernel"),
    [("bilinear", "bilinear"), ("bicubic", "bicubic"), ("lanczos", "lanczos3")],
)
def test_filters_are_those_of_tensorflow_with_antialiasing(side, target, method, kernel):
    image = tissue(side)
    expected = tf.image.resize(image, (target, target), kernel, antialias=True).numpy()
    found = resized(image, target, target, method)
    assert found.dtype == np.uint8
    assert np.abs(found - expected.clip(0, 255)).max() <= ROUNDING
    if side > 1.5 * target:
        plain = tf.image.resize(image, (target, target), kernel).numpy()
        assert np.abs(found - plain).mean() > 2 * np.abs(found - expected).mean()


def test_nearest_takes_the_pixel_in_the_middle():
    image = tissue(64)[:63, :63]
    places = [int((place + 0.5) * 63 / 32) for place in range(32)]
    expected = image[places][:, places]
    np.testing.assert_array_equal(resized(image, 32, 32, "nearest"), expected)


def test_width_and_height_are_not_mixed_up():
    image = tissue(64)[:, :32]
    for method in RESIZE_METHODS:
        assert resized(image, 20, 10, method).shape == (10, 20, 3)
        assert resized(image, 32, 64, method) is image


def test_every_word_of_a_card_has_a_method():
    assert {method_of_card(word) for word in RESIZES} == set(RESIZE_METHODS)
    assert method_of_card("area") == "resize"
    assert method_of_card("bicubic") == "bicubic"
