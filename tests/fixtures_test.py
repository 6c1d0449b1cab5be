"""Tests with real tissue and a real film that need only the repository."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image

from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.ptransforms.read_slides import _read
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess

FIXTURES = Path(__file__).parent / "fixtures"
SLIDE = FIXTURES / "jpeg_tiled_tissue.tiff"


@pytest.mark.parametrize("reader", ["openslide", "native"])
def test_patches_of_real_tissue_are_those_that_openslide_reads(reader):
    settings = SlideSettings(patch_px=64, stride_px=64, min_tissue=0.5, reader=reader)
    plan = plan_slide(SlideRequest("tissue", str(SLIDE)), settings)
    # 0.5 µm/px are asked for and 0.499 read: whole pixels of level 0.
    assert 40 <= plan.patches <= 64
    block = next(plan.blocks())
    with ThreadPoolExecutor(2):
        images = _read(block, 2, None)
    assert not images.problems
    with openslide.OpenSlide(str(SLIDE)) as slide:
        for x, y, pixels in zip(block.x_level0, block.y_level0, images.pixels, strict=True):
            expected = slide.read_region((int(x), int(y)), 0, (64, 64)).convert("RGB")
            np.testing.assert_array_equal(pixels, np.asarray(expected))


def test_a_real_film_is_the_same_as_jpeg_and_as_monochrome1():
    jpeg, dicom = (FIXTURES / name for name in ("chest_film.jpeg", "monochrome1_film.dcm"))
    films = [decode_film(path.read_bytes(), DecodeSettings()) for path in (jpeg, dicom)]
    np.testing.assert_array_equal(films[0].pixels, films[1].pixels)
    with Image.open(jpeg) as image:
        difference = films[0].pixels.astype(int) - np.asarray(image.convert("L"), int)
    # Two builds of libjpeg may round differently.
    assert np.abs(difference).max() <= 1
    stored = pydicom.dcmread(dicom).pixel_array
    np.testing.assert_array_equal(films[1].pixels, 255 - stored)
    assert films[1].view_position == "AP"


def test_a_real_film_becomes_a_square_of_the_models_size():
    film = decode_film((FIXTURES / "chest_film.jpeg").read_bytes(), DecodeSettings())
    pixels = Preprocess(64, "resize").apply(film.pixels, from_dicom=False)
    assert pixels.shape == (64, 64, 3)
    # A box of 2 x 2 keeps the mean.
    assert abs(float(pixels.mean()) - float(film.pixels.mean())) < 1
