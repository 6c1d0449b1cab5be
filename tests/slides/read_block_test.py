from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
from PIL import Image

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.read_block import read_block, unreadable_block
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def block(corners, read_px=64, patch_px=32):
    x, y = np.array(corners, np.int32).reshape(-1, 2).T
    read = ReadPlan(0, 1.0, read_px, patch_px, 0.5, 0.25)
    return SlideBlock(
        BlockKey("s", 7), "fake.svs", read, "openslide", x, y, np.ones(len(x), np.float32)
    )


def striped(height, width):
    y, x = np.mgrid[:height, :width]
    rgba = np.stack([x % 256, y % 256, (x * y) % 256, np.full_like(x, 255)], axis=-1)
    return rgba.astype(np.uint8)


def test_patches_come_in_order_with_their_rows(monkeypatch, threads):
    slide = FakeSlide(striped(512, 512))
    monkeypatch.setattr(openslide, "OpenSlide", slide.open)
    corners = [(64 * i, 64 * j) for j in range(8) for i in range(8)]
    images = read_block(block(corners), OpenSlideReader("fake.svs"), threads)
    assert images.key == BlockKey("s", 7)
    assert images.pixels.shape == (64, 32, 32, 3)
    assert images.pixels.dtype == np.uint8
    for (x, y), pixels, row in zip(corners, images.pixels, images.rows.to_pylist(), strict=True):
        assert (row["x_level0"], row["y_level0"]) == (x, y)
        # An independent area average: Pillow's reduction by two.
        region = Image.fromarray(slide.rgba[y : y + 64, x : x + 64, :3])
        assert np.abs(np.asarray(region.reduce(2)).astype(int) - pixels).max() <= 1


def test_a_bad_region_loses_exactly_its_patch(monkeypatch, threads):
    slide = FakeSlide(striped(512, 512), bad=[(130, 70, 131, 71), (400, 400, 401, 401)])
    monkeypatch.setattr(openslide, "OpenSlide", slide.open)
    corners = [(64 * i, 64 * j) for j in range(8) for i in range(8)]
    images = read_block(block(corners), OpenSlideReader("fake.svs"), threads)
    assert images.planned == 64
    assert [(p.x_level0, p.y_level0) for p in images.problems] == [(128, 64), (384, 384)]
    assert {(p.stage, p.kind, p.item_id, p.uri) for p in images.problems} == {
        ("read", "unreadable_region", "s", "fake.svs")
    }
    kept = [(row["x_level0"], row["y_level0"]) for row in images.rows.to_pylist()]
    assert kept == [c for c in corners if c not in [(128, 64), (384, 384)]]
    for (x, y), pixels in zip(kept, images.pixels, strict=True):
        corner = slide.rgba[y : y + 2, x : x + 2, :3].mean(axis=(0, 1))
        assert np.abs(pixels[0, 0] - corner).max() <= 0.5


def test_a_slide_that_went_away_loses_its_patches_and_no_more():
    images = unreadable_block(block([(0, 0), (64, 0)]), InputError("missing_file", "gone"))
    assert (len(images.pixels), images.planned, len(images.problems)) == (0, 2, 2)
    assert {(p.kind, p.message) for p in images.problems} == {("missing_file", "gone")}


def test_reading_the_same_block_twice_gives_the_same(threads):
    path = shared("data/slides/CMU-1-Small-Region.svs")
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings())
    (planned,) = plan.blocks()
    one, other = (read_block(planned, OpenSlideReader(path), threads) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.rows.equals(other.rows)


@pytest.mark.parametrize(
    "name", ["CMU-1-Small-Region.svs", "cmu1_sparse_tiles.svs", "test3-DAPI-2-(387).ndpi"]
)
def test_pixels_are_openslides_own(name, threads):
    path = shared(f"data/slides/{name}")
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings())
    planned = next(plan.blocks())
    images = read_block(planned, OpenSlideReader(path), threads)
    read = planned.read
    with openslide.OpenSlide(path) as slide:
        for index in range(0, len(images.pixels), 7):
            corner = int(planned.x_level0[index]), int(planned.y_level0[index])
            region = slide.read_region(corner, read.level, (read.read_px, read.read_px))
            glass = Image.new("RGBA", region.size, "white")
            expected = Image.alpha_composite(glass, region).convert("RGB")
            box = expected.resize((224, 224), Image.Resampling.BOX)
            # Pillow's box filter weighs whole pixels, area averaging also fractions of them.
            limit = 0.5 if read.read_px == 224 else 4
            difference = np.abs(np.asarray(box).astype(int) - images.pixels[index])
            assert difference.mean() <= limit
