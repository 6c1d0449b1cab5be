"""The caption of a slide's picture."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.slides.picture import draw_plan, mark_failed
from beamscope.transforms.slides.planning.caption import captioned, length_text, scale_bar_um
from tests.slides.picture_test import thumbnail
from tests.slides.plans import ready


def decode(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("width_um", "bar_um"), [(3, 1), (100, 20), (1000, 200), (14_999, 2000), (60_000, 10_000)]
)
def test_scale_bar_um(width_um, bar_um):
    assert scale_bar_um(width_um) == bar_um


@pytest.mark.parametrize(("um", "text"), [(200, "200 µm"), (1000, "1 mm"), (20_000, "20 mm")])
def test_length_text(um, text):
    assert length_text(um) == text


def test_the_bar_is_as_long_as_it_says_and_the_picture_is_unchanged():
    picture = draw_plan(thumbnail(300, 1000), [], 1.0, np.array([1100]), np.array([1200]), 500)
    plan = ready(1, "Präparat 7 切片")
    image = decode(captioned(picture, plan))
    shown = decode(picture.jpeg)
    assert image.shape == (300 + 66, 1000, 3)
    assert np.abs(image[:300] - shown).mean() < 1
    # The bar is the longest run of ink in a line of the strip.
    width_um = 1000 * picture.scale * plan.mpp.mean
    expected = scale_bar_um(width_um) / (picture.scale * plan.mpp.mean)
    runs = [(row < 100).all(axis=1).sum() for row in image[345:360, 5:216]]
    assert abs(max(runs) - expected) <= 3


def test_failed_patches_are_in_the_legend():
    picture = draw_plan(thumbnail(300, 900), [], 1.0, np.array([1100]), np.array([1200]), 500)
    plan = ready(1, "a")

    def red(jpeg):
        strip = decode(jpeg)[300:]
        return int(((strip[..., 0] - strip[..., 1:].max(axis=2)) > 120).sum())

    marked = mark_failed(picture, np.array([1100]), np.array([1200]), 500)
    assert red(captioned(picture, plan)) == 0
    failed = dataclasses.replace(picture, jpeg=marked)
    assert red(captioned(failed, plan, failed=1)) > 20
