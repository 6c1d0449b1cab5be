"""Pixels read without Pillow are those that openslide-python and Pillow give, to the last bit."""

import ctypes

import numpy as np
import openslide
import pytest
from PIL import Image

from beamscope.transforms.slides.readers import openslide_surface
from beamscope.transforms.slides.readers.openslide_surface import flatten, read_region
from tests.shared_data import shared

WHITE, BLUE = (255, 255, 255), (10, 20, 230)


def straight(argb):
    """RGBA of OpenSlide's pixels, by the code of openslide-python and Pillow."""
    buffer = (ctypes.c_uint32 * argb.size).from_buffer_copy(argb.tobytes())
    return np.asarray(openslide.lowlevel._load_image(buffer, argb.shape[::-1]))


def over(rgba, background):
    """RGBA on a background, by exact integers; half a grey level is rounded up."""
    alpha = rgba[..., 3:].astype(int)
    total = rgba[..., :3] * alpha + np.array(background) * (255 - alpha)
    return ((2 * total + 255) // 510).astype(np.uint8)


def premultiplied(alpha, seed=0):
    """ARGB of random colours under the alphas given, uint8 ``[h, w]``."""
    rng = np.random.default_rng(seed)
    channels = rng.integers(0, alpha[..., None].astype(int) + 1, (*alpha.shape, 3))
    argb = alpha.astype(np.uint32) << 24
    for shift, channel in zip((16, 8, 0), np.moveaxis(channels, -1, 0), strict=True):
        argb |= channel.astype(np.uint32) << shift
    return argb


def half(height, width):
    alpha = np.full((height, width), 255, np.uint8)
    alpha[:, width // 2 :] = 0
    return alpha


ALPHAS = {
    "opaque": np.full((50, 40), 255, np.uint8),
    "half of it missing": half(50, 40),
    "nothing there": np.zeros((9, 7), np.uint8),
    "one pixel not quite opaque": np.where(np.arange(2000) == 1234, 254, 255).reshape(50, 40),
    "every alpha": np.repeat(np.arange(256), 16).reshape(64, 64),
    "empty": np.zeros((0, 7), np.uint8),
}


@pytest.mark.parametrize("background", [WHITE, BLUE])
@pytest.mark.parametrize("kind", ALPHAS)
def test_flatten(kind, background):
    argb = premultiplied(ALPHAS[kind].astype(np.uint8))
    rgb, scanned = flatten(argb, background)
    rgba = straight(argb) if argb.size else np.zeros((*argb.shape, 4), np.uint8)
    np.testing.assert_array_equal(rgb, over(rgba, background))
    if scanned is None:
        assert (rgba[..., 3] == 255).all()
    else:
        np.testing.assert_array_equal(scanned, rgba[..., 3] >= 128)
        assert kind != "opaque"


@pytest.mark.parametrize("way", ["surface", "pillow"])
@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "cmu1_jp2k_33005_pyr.svs",
        "cmu1_sparse_tiles.svs",
        "test3-DAPI-2-(387).ndpi",
    ],
)
def test_regions_are_those_of_pillow(name, way, monkeypatch):
    assert openslide_surface._read_region is not None
    if way == "pillow":
        monkeypatch.setattr(openslide_surface, "_read_region", None)
    with openslide.OpenSlide(shared(f"data/slides/{name}")) as slide:
        level = slide.level_count - 1
        width, height = slide.dimensions
        # Inside; over the corners; between two pixels of a coarser level; and outside.
        for place, number, size in (
            ((500, 700), 0, (224, 160)),
            ((-30, -20), 0, (100, 90)),
            ((width - 50, height - 40), 0, (100, 90)),
            ((3, 5), level, (60, 60)),
            ((width + 100, 0), 0, (20, 30)),
        ):
            image = slide.read_region(place, number, size)
            for background in (WHITE, BLUE):
                rgb, scanned = read_region(slide, place, number, size, background)
                np.testing.assert_array_equal(rgb, over(np.asarray(image), background))
                opaque = np.asarray(image)[..., 3] >= 128
                assert opaque.all() if scanned is None else np.array_equal(scanned, opaque)
            behind = Image.new("RGBA", size, "white")
            pasted = np.asarray(Image.alpha_composite(behind, image).convert("RGB"))
            white, _ = read_region(slide, place, number, size, WHITE)
            assert np.abs(white.astype(int) - pasted).max(initial=0) <= 1


def test_read_region_errors():
    with (
        openslide.OpenSlide(shared("data/slides_broken/unreadable.svs")) as slide,
        pytest.raises(openslide.OpenSlideError, match="Bogus marker length"),
    ):
        read_region(slide, (0, 0), 0, (16, 16), WHITE)
