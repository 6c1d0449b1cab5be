import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import (
    Preprocess,
    central_crop,
    resize_bicubic_tf1,
)
from tests.shared_data import shared


@pytest.fixture(scope="module")
def tf():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("tensorflow")


def tf_bicubic(tf, film, size):
    image = tf.convert_to_tensor(film[None, :, :, None], tf.float32) / 255.0
    return tf.compat.v1.image.resize_bicubic(image, [size, size])[0, :, :, 0].numpy()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (1400, 1400, 448),
        (2317, 1913, 448),
        (196, 196, 224),
        (223, 517, 224),
        (448, 448, 448),
        (7, 3, 16),
        (1, 1, 8),
        (3000, 2, 448),
    ],
)
def test_the_cubic_is_tensorflows(tf, height, width, size):
    film = noise(height, width)
    ours = resize_bicubic_tf1(film, size) / 255
    np.testing.assert_allclose(ours, tf_bicubic(tf, film, size), rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    size=st.integers(1, 448),
    seed=st.integers(0, 99),
)
def test_the_cubic_is_tensorflows_at_any_size(tf, height, width, size, seed):
    film = noise(height, width, seed)
    ours = resize_bicubic_tf1(film, size) / 255
    np.testing.assert_allclose(ours, tf_bicubic(tf, film, size), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["NORMAL2-IM-1427-0001.jpeg", "person1946_bacteria_4874.jpeg"])
def test_remedis_on_a_film_is_simclrs_evaluation(tf, name):
    film = decode_film(shared(f"data/xrays/originals/{name}").read_bytes(), DecodeSettings())
    height, width = film.pixels.shape
    side = int(tf.math.rint(tf.constant(0.875) * min(height, width)))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    cropped = tf.image.crop_to_bounding_box(film.pixels[:, :, None], top, left, side, side)
    expected = tf_bicubic(tf, cropped.numpy()[:, :, 0], 448)
    ours = resize_bicubic_tf1(central_crop(film.pixels), 448) / 255
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    result = Preprocess(448).apply(film.pixels, from_dicom=False)
    assert result.shape == (448, 448, 3)
    assert np.abs(result[:, :, 0] / 255 - np.clip(expected, 0, 1)).max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (256, 256, (16, 16, 224)),
        (100, 200, (6, 56, 88)),
        (200, 100, (56, 6, 88)),
        (101, 101, (7, 7, 88)),
        (4, 4, (0, 0, 4)),  # 3.5 rounds to the even 4
        (12, 12, (1, 1, 10)),  # 10.5 likewise to 10
        (1, 1, (0, 0, 1)),
    ],
)
def test_central_crop(height, width, box):
    film = np.arange(height * width, dtype=np.int64).reshape(height, width)
    top, left, side = box
    crop = central_crop(film)
    np.testing.assert_array_equal(crop, film[top : top + side, left : left + side])


def test_the_overshoot_of_the_cubic_is_clipped():
    film = np.zeros((64, 64), np.uint8)
    film[:, 32:] = 255
    plain = resize_bicubic_tf1(central_crop(film), 448)
    assert plain.min() < 0
    assert plain.max() > 255
    result = Preprocess(448).apply(film, from_dicom=False)
    assert (result.min(), result.max()) == (0, 255)


def test_resize_averages_areas_of_the_whole_film():
    film = noise(120, 80)
    square = Preprocess(40, "resize").apply(film, from_dicom=False)[:, :, 0]
    means = film.reshape(40, 3, 40, 2).mean(axis=(1, 3))
    assert np.abs(square - means).max() <= 0.5


@pytest.mark.parametrize(("height", "width"), [(200, 100), (100, 200), (100, 100), (3, 300)])
def test_pad_keeps_the_proportions_on_black(height, width):
    film = np.full((height, width), 200, np.uint8)
    square = Preprocess(50, "pad").apply(film, from_dicom=False)[:, :, 0]
    rows, columns = (np.flatnonzero(square.any(axis=axis)) for axis in (1, 0))
    longest = max(height, width)
    assert len(rows) == max(1, round(50 * height / longest))
    assert len(columns) == max(1, round(50 * width / longest))
    assert abs(rows[0] - (49 - rows[-1])) <= 1
    assert set(np.unique(square)) <= {0, 200}


@pytest.mark.parametrize(
    ("equalize", "from_dicom", "expected"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("always", False, True),
        ("always", True, True),
        ("never", True, False),
    ],
)
def test_equalize(equalize, from_dicom, expected):
    film = noise(64, 64) // 4 + 30
    result = Preprocess(64, "resize", equalize).apply(film, from_dicom=from_dicom)[:, :, 0]
    np.testing.assert_array_equal(result, cv2.equalizeHist(film) if expected else film)


@pytest.mark.parametrize("kind", ["remedis", "resize", "pad"])
def test_the_channels_are_equal_and_the_film_is_left_as_it_was(kind):
    film = noise(90, 70)
    before = film.copy()
    result = Preprocess(32, kind, "always").apply(film, from_dicom=True)
    assert result.shape == (32, 32, 3)
    assert result.dtype == np.uint8
    assert (result == result[:, :, :1]).all()
    np.testing.assert_array_equal(film, before)


def test_preprocess_errors():
    with pytest.raises(ValueError, match="size is 0"):
        Preprocess(0)
