from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from beamscope.transforms.slides.readers.pixels import background_color, composite, resample


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("FF0080", (255, 0, 128)), (None, (255,) * 3), ("", (255,) * 3), ("zz", (255,) * 3)],
)
def test_background_color(text, expected):
    properties = {} if text is None else {"openslide.background-color": text}
    assert background_color(properties) == expected


@given(red=st.integers(0, 255), alpha=st.integers(0, 255), background=st.integers(0, 255))
def test_composite_is_the_over_operator(red, alpha, background):
    rgba = np.array([[[red, 0, 0, alpha]]], np.uint8)
    exact = (Fraction(red) * alpha + Fraction(background) * (255 - alpha)) / 255
    assert abs(int(composite(rgba, (background, 0, 0))[0, 0, 0]) - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("size", [64, 63, 50, 32, 17])
def test_resample_averages_areas(size):
    rgb = noise(64, 64)[..., :3]
    # Each target pixel is the mean of the source area under it: repeat, then average blocks.
    repeated = rgb.repeat(size, axis=0).repeat(size, axis=1).astype(np.float64)
    expected = repeated.reshape(size, 64, size, 64, 3).mean(axis=(1, 3))
    assert np.abs(resample(rgb, size, size) - expected).max() <= 0.51


def test_resample_enlarges_linearly():
    rgb = noise(32, 32)[..., :3]
    enlarged = resample(rgb, 64, 64)
    expected = np.asarray(Image.fromarray(rgb).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(enlarged.astype(int) - expected).max() <= 1
