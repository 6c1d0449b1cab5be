"""A third reader is one file and one line: this file, and the line that registers it."""

import numpy as np
import pytest
import tifffile

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.plan import FailedPlan, ReadyPlan
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.ptransforms.read_slides import _read
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, Region, true_levels
from beamscope.transforms.slides.readers.registry import READERS
from beamscope.transforms.slides.readers.testing import ReaderConformance
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage.byte_source import LocalSource

ROWS = 50  # of a strip


class StripReader(SlideReader):
    """TIFF of uncompressed strips, which neither of the other readers opens."""

    def __init__(self, source, pages):
        self.vendor = "strips"
        self.properties = {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}
        self.background = (240, 240, 250)
        self.dimensions = pages[0].imagewidth, pages[0].imagelength
        self.levels = true_levels(
            Level(n, p.imagewidth, p.imagelength, self.dimensions[0] / p.imagewidth)
            for n, p in enumerate(pages)
        )
        self._source = source
        self._strips = [(page.dataoffsets, page.rowsperstrip) for page in pages]

    @classmethod
    def open(cls, uri, *, cache=None, version=None):
        source = LocalSource(uri)
        try:
            with tifffile.TiffFile(uri) as tiff:
                pages = list(tiff.pages)
        except tifffile.TiffFileError as error:
            return NotServed(f"no TIFF: {error}")
        if not pages or any(page.compression != 1 or page.is_tiled for page in pages):
            return NotServed("no TIFF of uncompressed strips")
        return cls(source, pages)

    def read_area(self, x_level0, y_level0, level, width, height):
        found = next(one for one in self.levels if one.number == level)
        left, top = round(x_level0 / found.downsample), round(y_level0 / found.downsample)
        rgb = np.full((height, width, 3), self.background, np.uint8)
        scanned = np.zeros((height, width), bool)
        columns = range(max(0, left), min(left + width, found.width))
        offsets, rows = self._strips[level]
        for y in range(max(0, top), min(top + height, found.height)) if columns else ():
            at = offsets[y // rows] + 3 * (y % rows * found.width + columns.start)
            data = self._source.read(at, 3 * len(columns))
            if len(data) != 3 * len(columns):
                raise InputError(Kind.UNREADABLE_REGION, f"row {y} is not in the file")
            place = y - top, slice(columns.start - left, columns.stop - left)
            rgb[place] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            scanned[place] = True
        return rgb, None if scanned.all() else scanned

    def close(self):
        self._source.close()


def write_strips(path, levels):
    with tifffile.TiffWriter(path) as tiff:
        for image in levels:
            tiff.write(image, photometric="rgb", rowsperstrip=ROWS, metadata=None)


class TestStripReader(ReaderConformance):
    reader = StripReader

    def write(self, path, levels):
        write_strips(path, levels)
        return list(levels)

    def damage(self, path):
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tag = tiff.pages[0].tags["StripOffsets"]
            offsets = list(tag.value)
            offsets[3] = path.stat().st_size
            tag.overwrite(tuple(offsets))
        return Region(0, 3 * ROWS, 700, ROWS)


@pytest.fixture
def registered():
    READERS.register("strips", StripReader)
    yield
    READERS.unregister("strips")


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Level 0 and another level of a drawn slide."""
    path = tmp_path_factory.mktemp("tissue") / "s.svs"
    write_sample_slide(path, SampleSlide(1500, 1200, levels=1))
    full = tifffile.imread(path, key=0)
    return full, np.ascontiguousarray(full[::2, ::2])


@pytest.fixture
def slide(tissue, tmp_path):
    path = tmp_path / "strips.tif"
    write_strips(path, tissue)
    return str(path)


SETTINGS = SlideSettings(patch_px=64, stride_px=64, block_size=32)


def test_nobody_else_serves_the_slide(slide):
    plan = plan_slide(SlideRequest("s", slide), SETTINGS)
    assert isinstance(plan, FailedPlan)
    assert plan.problem.kind == "not_a_slide"


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("reader", ["auto", "strips"])
def test_it_serves_a_slide_from_plan_to_patches(reader, slide, tissue):
    settings = SlideSettings(patch_px=64, stride_px=64, block_size=32, reader=reader)
    plan = plan_slide(SlideRequest("s", slide), settings)
    assert isinstance(plan, ReadyPlan)
    assert (plan.reader, plan.facts.vendor, plan.read.downscale) == ("strips", "strips", "area")
    assert 32 < plan.patches < 23 * 18
    full, _ = tissue
    for block in plan.blocks():
        images = _read(block, 2, None)
        assert not images.problems
        assert len(images.pixels) == len(block)
        for x, y, patch in zip(block.x_level0, block.y_level0, images.pixels, strict=True):
            np.testing.assert_array_equal(patch, full[y : y + 64, x : x + 64])


@pytest.mark.usefixtures("registered")
def test_the_others_come_first(tmp_path):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(1024, 1024, levels=1, mpp=0.5))
    assert plan_slide(SlideRequest("s", str(path)), SETTINGS).reader == "native"


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("reader", ["auto", "strips", "openslide", "native"])
def test_what_nobody_serves_says_why(reader, tmp_path):
    path = tmp_path / "s.tif"
    path.write_text("<html>404</html>")
    settings = SlideSettings(reader=reader)
    plan = plan_slide(SlideRequest("s", str(path)), settings)
    assert isinstance(plan, FailedPlan)
    # What is wrong with the file goes before what a reader does not serve.
    assert plan.problem.kind == ("not_served" if reader == "strips" else "not_a_slide")


def test_it_is_no_reader_outside_its_tests():
    assert READERS.names() == ("native", "openslide")
