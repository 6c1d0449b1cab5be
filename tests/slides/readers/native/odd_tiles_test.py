"""Tiles that are sound but unusual: every patch of them is read, as OpenSlide reads it."""

import io

import cv2
import numpy as np
import openslide
import pytest
from PIL import Image

from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.read_block import read_block
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.pool import open_planned
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared
from tests.slides.readers.native.files import TiledSlide, blobs, cut, with_tiles, write_slide
from tests.slides.readers.native.reading import THREADS

CASES = "cases/slides/scan_data_aligned"
EOI = b"\xff\xd9"


def patches_of(path, reader="auto", px=224):
    settings = SlideSettings(tissue="none", reader=reader, patch_px=px, stride_px=px)
    plan = plan_slide(SlideRequest("s", str(path), assume_mpp=0.5), settings)
    images = [
        read_block(block, open_planned(block.reader, block.uri), THREADS) for block in plan.blocks()
    ]
    pixels = np.concatenate([image.pixels for image in images])
    assert len(pixels) + sum(len(image.problems) for image in images) == plan.patches
    return plan, pixels


def by_openslide(path, plan):
    side = plan.read.read_px
    with openslide.OpenSlide(path) as slide:
        return np.stack(
            [
                np.asarray(slide.read_region((x, y), 0, (side, side)).convert("RGB"))
                for x, y in zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True)
            ]
        )


@pytest.mark.parametrize("reader", ["auto", "native", "openslide"])
@pytest.mark.parametrize("name", ["align2.tiff", "align4.tiff", "pad3_all_tiles.tiff"])
def test_scan_data_that_is_padded_before_the_end_of_the_image(name, reader):
    path = shared(f"{CASES}/{name}")
    plan, pixels = patches_of(path, reader)
    assert len(pixels) == 72
    np.testing.assert_array_equal(pixels, by_openslide(path, plan))


def test_padding_changes_no_pixel():
    one, *others = (
        patches_of(shared(f"{CASES}/{name}.tiff"))[1]
        for name in ("align2", "align4", "pad3_all_tiles")
    )
    for other in others:
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("plain") / "s.tiff", TiledSlide())


def padded(before=b"", after=b""):
    def change(number, tile):
        assert tile.endswith(EOI)
        return tile[: -len(EOI)] + before + EOI + after

    return change


def only(numbers, change):
    return lambda number, tile: change(number, tile) if number in numbers else tile


def with_restarts(interval):
    """The same picture, encoded with restart markers every so many MCUs."""
    tiles = [
        cv2.imencode(
            ".jpg",
            cv2.cvtColor(tile, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_RST_INTERVAL, interval],
        )[1].tobytes()
        for tile in cut(blobs(700, 600), 128)
    ]
    return lambda number, tile: tiles[number]


def progressive(number, tile):
    """Decoded and encoded anew in several scans."""
    (rgb,) = [part for n, part in enumerate(cut(blobs(700, 600), 128)) if n == number]
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=85, progressive=True)
    return out.getvalue()


ODD = {
    "one zero": padded(b"\x00"),
    "five zeros": padded(bytes(5)),
    "a page of zeros": padded(bytes(4096)),
    "zeros to multiples of 16": lambda n, tile: padded(bytes(-len(tile) % 16))(n, tile),
    "zeros in one tile": only({14}, padded(bytes(3))),
    "fill bytes": padded(b"\xff\xff\xff"),
    "ones": padded(b"\x7f\x7f\x7f\x7f\x7f\x7f"),
    "ones in one tile": only({14}, padded(b"\x7f\x7f\x7f\x7f\x7f\x7f")),
    "zeros after the end of the image": padded(b"", bytes(7)),
    "another image after it": padded(b"", b"\xff\xd8\xff\xe0"),
    "restart markers": with_restarts(3),
    "restart markers in one tile": only({14}, with_restarts(1)),
    "restart markers and zeros": lambda n, tile: padded(bytes(3))(n, with_restarts(5)(n, tile)),
    "a restart marker too many": only({14}, padded(b"\xff\xd0")),
    "progressive": progressive,
}


@pytest.mark.parametrize("reader", ["auto", "native"])
@pytest.mark.parametrize("kind", ODD)
def test_what_openslide_reads_is_read(kind, reader, plain, tmp_path):
    path = with_tiles(tmp_path / "s.tiff", plain, ODD[kind])
    expected_plan, expected = patches_of(path, "openslide", 64)
    assert len(expected) == expected_plan.patches == 90
    answer = NativeReader.open_to_plan(str(path))
    if reader == "native" and not isinstance(answer, NativeReader):
        pytest.skip(f"the native reader refuses the slide: {answer.reason}")
    plan, pixels = patches_of(path, reader, 64)
    assert plan.patches == 90
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(pixels, by_openslide(path, plan))


def test_a_tile_that_openslide_cannot_read_either_is_lost(plain, tmp_path):
    cut_off = with_tiles(tmp_path / "s.tiff", plain, only({14}, lambda n, tile: tile[:-2]))
    plan, pixels = patches_of(cut_off, "auto", 64)
    expected_plan, expected = patches_of(cut_off, "openslide", 64)
    assert (plan.reader, plan.patches) == ("native", expected_plan.patches)
    # The tile is 128 px: four patches.
    assert len(expected) == 86
    np.testing.assert_array_equal(pixels, expected)
