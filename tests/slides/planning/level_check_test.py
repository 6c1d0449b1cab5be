"""Levels of one slide agree; a label or a macro of the very shape of the slide does not."""

import cv2
import numpy as np
import pytest
import tifffile

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.level_check import agrees
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tissue.thumbnail import content_region, read_thumbnail
from tests.shared_data import shared

WIDTH, HEIGHT = 4096, 3584


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Level 0 of a slide."""
    path = tmp_path_factory.mktemp("full") / "s.svs"
    write_sample_slide(path, SampleSlide(WIDTH, HEIGHT, levels=1))
    return np.ascontiguousarray(tifffile.imread(path, key=0))


def shrunk(image, factor):
    size = image.shape[1] // factor, image.shape[0] // factor
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def label(width, height):
    image = np.full((height, width, 3), 246, np.uint8)
    for line in range(40, height, 50):
        text = f"S24-{line * 7919 % 100_000:05} PATHOLOGY"
        cv2.putText(image, text, (20, line), cv2.FONT_HERSHEY_SIMPLEX, 1, (25, 25, 25), 2)
    return image


def macro(width, height):
    """Glass with a small section on it, and a label at its left, photographed on grey."""
    image = np.full((height, width, 3), 205, np.uint8)
    image[height // 8 : -height // 8, width // 4 :] = 236
    image[:, : width // 4] = label(width // 4, height)
    cv2.circle(image, (width * 3 // 4, height // 3), height // 8, (190, 120, 170), -1)
    return image


def mask(full, factor):
    """White on black; or as it is saved where 0 is white."""
    grey = cv2.GaussianBlur(shrunk(full, factor), (0, 0), 4)[..., 1]
    return np.repeat(np.where(grey < 215, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


FALSE = {
    "label": lambda full: label(1024, 896),
    "macro": lambda full: macro(1024, 896),
    "blank": lambda full: np.full((896, 1024, 3), 250, np.uint8),
    "black": lambda full: np.zeros((896, 1024, 3), np.uint8),
    "tissue mask": lambda full: mask(full, 4),
    "tissue mask, inverted": lambda full: 255 - mask(full, 4),
    "turned": lambda full: shrunk(full, 4)[::-1, ::-1],
}


def write(path, images):
    with tifffile.TiffWriter(path) as tiff:
        for number, image in enumerate(images):
            tiff.write(
                np.ascontiguousarray(image),
                tile=(256, 256),
                compression="jpeg",
                photometric="rgb",
                subfiletype=1 if number else 0,
                resolution=(20_000, 20_000),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def thumbnail_of(slide, level):
    return read_thumbnail(slide, level, content_region(slide), level.downsample)


@pytest.mark.parametrize("kind", FALSE)
@pytest.mark.parametrize("reader", [OpenSlideReader, NativeReader])
def test_another_picture_does_not_agree(kind, reader, full, tmp_path):
    path = write(tmp_path / "s.tif", [full, shrunk(full, 2), FALSE[kind](full)])
    slide = reader.open(str(path))
    true, false = slide.levels[1:]
    assert agrees(slide, slide.levels[0], thumbnail_of(slide, true))
    assert not agrees(slide, slide.levels[0], thumbnail_of(slide, false))
    assert not agrees(slide, false, thumbnail_of(slide, true))


@pytest.mark.parametrize(
    "name",
    [
        "tcga_generic_pyramid_mpp0.5.tiff",
        "cmu1_jp2k_33005_pyr.svs",
        "tcga-cr-7395-01a-01-ts1.svs",
        "test3-DAPI-2-(387).ndpi",
        "cmu1-dicom/level-0-frames-0-30.dcm",
    ],
)
def test_levels_of_real_slides_agree(name):
    slide = OpenSlideReader(shared(f"data/slides/{name}"))
    assert len(slide.levels) > 1
    for level in slide.levels[1:]:
        assert agrees(slide, slide.levels[0], thumbnail_of(slide, level)), level


def test_a_shift_by_a_pixel_agrees(full, tmp_path):
    moved = np.roll(shrunk(full, 4), (1, -1), axis=(0, 1))
    slide = OpenSlideReader(write(tmp_path / "s.tif", [full, moved]))
    assert agrees(slide, slide.levels[0], thumbnail_of(slide, slide.levels[1]))


def test_an_empty_slide_agrees(tmp_path):
    glass = np.random.default_rng(0).normal(240, 2, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    slide = OpenSlideReader(write(tmp_path / "s.tif", [glass, shrunk(glass, 4)]))
    assert agrees(slide, slide.levels[0], thumbnail_of(slide, slide.levels[1]))


def test_a_level_of_a_few_pixels_agrees(full, tmp_path):
    slide = OpenSlideReader(write(tmp_path / "s.tif", [full, shrunk(full, 400)]))
    assert agrees(slide, slide.levels[0], thumbnail_of(slide, slide.levels[1]))


def test_places_that_cannot_be_read_decide_nothing(full, tmp_path, monkeypatch):
    slide = OpenSlideReader(write(tmp_path / "s.tif", [full, label(1024, 896)]))
    thumbnail = thumbnail_of(slide, slide.levels[1])

    def broken(*where):
        raise InputError(Kind.UNREADABLE_REGION, "broken")

    monkeypatch.setattr(slide, "read_area", broken)
    assert agrees(slide, slide.levels[0], thumbnail)


def same_patches(one, other):
    for name in ("x_level0", "y_level0", "tissue"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.read == other.read


@pytest.mark.parametrize("reader", ["auto", "native", "openslide"])
@pytest.mark.parametrize("kind", FALSE)
def test_a_false_level_changes_no_plan(kind, reader, full, tmp_path):
    levels = [full, shrunk(full, 2)]
    plain = write(tmp_path / "plain.tif", levels)
    path = write(tmp_path / "s.tif", [*levels, FALSE[kind](full)])
    # At 2 µm/px the false level would be the one to read; and the one of the thumbnail at any.
    for mpp in (0.5, 2.0):
        settings = SlideSettings(mpp=mpp, patch_px=64, stride_px=64, reader=reader)
        ours, theirs = (plan_slide(SlideRequest("s", str(p)), settings) for p in (path, plain))
        assert theirs.patches > 0
        same_patches(ours, theirs)
        assert ours.picture == theirs.picture


CASES = "cases/slides/tiled_label_is_a_level"


@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_a_tiled_label_that_is_marked_as_reduced(reader):
    with_label, without = (
        plan_slide(SlideRequest("s", str(shared(f"{CASES}/{name}.tif"))), settings)
        for settings in [SlideSettings(reader=reader)]
        for name in ("label", "nolabel")
    )
    assert with_label.patches == 31
    same_patches(with_label, without)
    assert with_label.picture == without.picture
    path = shared(f"{CASES}/label_as_level.tif")
    settings = SlideSettings(reader=reader, mpp=2.6, stride_px=50, tissue="none")
    plan = plan_slide(SlideRequest("s", str(path)), settings)
    assert (plan.read.level, plan.read.downsample) == (1, 2.0)


@pytest.mark.parametrize("reader", ["auto", "openslide"])
@pytest.mark.parametrize("second", ["focal plane", "mask page"])
def test_of_equal_levels_the_first_is_read(second, reader, full, tmp_path):
    half = shrunk(full, 2)
    other = cv2.GaussianBlur(half, (0, 0), 3) if second == "focal plane" else mask(full, 2)
    plain = write(tmp_path / "plain.tif", [full, half])
    path = write(tmp_path / "s.tif", [full, half, other])
    settings = SlideSettings(mpp=1.0, patch_px=64, stride_px=64, reader=reader)
    ours, theirs = (plan_slide(SlideRequest("s", str(p)), settings) for p in (path, plain))
    same_patches(ours, theirs)
    assert ours.read.level == 1
