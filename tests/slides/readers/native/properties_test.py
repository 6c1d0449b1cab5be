import numpy as np
import pytest
import tifffile

from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.native.tiff import read_levels
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.native.files import XML_SPACING, TiledSlide, philips_xml, write_slide

NAMES = [
    f"openslide.{name}"
    for name in ("vendor", "mpp-x", "mpp-y", "objective-power", "background-color", "bounds-x")
]


def agree(path):
    ours, _ = read_levels(LocalSource(path))
    theirs = OpenSlideReader(path).properties
    assert [ours.get(name) for name in NAMES] == [theirs.get(name) for name in NAMES]
    return ours


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "cmu1_jp2k_33005_pyr.svs",
        "cmu1_sparse_tiles.svs",
        "tcga-cr-7395-01a-01-ts1.svs",
        "tcga_generic_pyramid_mpp0.5.tiff",
    ],
)
def test_properties_are_those_of_openslide(name):
    agree(shared(f"data/slides/{name}"))


@pytest.mark.parametrize(
    "said",
    [
        "700x600 -> 700x600",
        "|AppMag = 40|MPP = 0.25",
        "|AppMag=20.5|MPP=0,2528",
        "|AppMag =  40 \r\n|MPP\t= .5 ",
        "|MPP = 0.1|AppMag = 1e2|MPP = 0.3|MPP",
        "|mpp = 0.25|APPMAG = 40|Title = MPP = 7",
        "MPP = 0.25|AppMag = 20",
        "|AppMag = +40|MPP = 0.00001",
    ],
)
def test_aperio(said, tmp_path):
    slide = TiledSlide(description=f"Aperio Image Library\r\n{said}")
    agree(write_slide(tmp_path / "slide.svs", slide))


def with_resolution(path, unit, x, y):
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        tags["XResolution"].overwrite(x)
        tags["YResolution"].overwrite(y)
        tags["ResolutionUnit"].overwrite(unit)
    return path


@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((20_000, 1), (20_000, 1)),
        ((1, 3), (100_000, 7)),
        ((0, 1), (4, 0)),
        ((2**32 - 1, 7), (1, 2**32 - 1)),
    ],
)
def test_generic(unit, x, y, tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    agree(with_resolution(path, unit, x, y))


def test_generic_without_a_unit_is_in_inches(tmp_path):
    path = tmp_path / "slide.tiff"
    tifffile.imwrite(
        path,
        np.zeros((256, 256, 3), np.uint8),
        tile=(128, 128),
        compression="jpeg",
        resolution=(50_800, 25_400),
        resolutionunit="inch",
    )
    with tifffile.TiffFile(path, mode="r+") as tiff:
        unit = tiff.pages[0].tags["ResolutionUnit"].offset
    with path.open("r+b") as file:
        file.seek(unit)
        file.write((0xFFFE).to_bytes(2, "little"))  # a tag that nobody knows
    assert agree(path)["openslide.mpp-x"] == "0.5"


SPACING = XML_SPACING.format(0.00025)


@pytest.mark.parametrize(
    "spacing",
    [
        SPACING,
        "",
        SPACING.replace('"0.00025" "0.00025"', "&quot;0.0003&quot; &quot;0.0002&quot;"),
        SPACING.replace('"0.00025" "0.00025"', '"0.0002528" "0.0002528"'),
    ],
)
def test_philips(spacing, tmp_path):
    xml = philips_xml([1, 2, 4]).replace(SPACING, spacing, 1)
    sizes = ((700, 600), (384, 384), (256, 256))
    slide = TiledSlide(sizes, description=xml, software="Philips DP v1.0")
    path = write_slide(tmp_path / "slide.tiff", slide)
    # The resolution of the TIFF, which Philips leaves in, says nothing.
    agree(with_resolution(path, 3, (100, 1), (100, 1)))


@pytest.mark.parametrize(
    ("slide", "reason"),
    [
        (TiledSlide(description="Aperio|MPP = 0.25 um"), "aperio.MPP '0.25 um'"),
        (TiledSlide(description="Aperio|MPP = 0x1p-2"), "aperio.MPP '0x1p-2'"),
        (TiledSlide(description="Aperio|MPP = 1e999"), "aperio.MPP '1e999'"),
        (TiledSlide(description="Aperio|MPP = 0.5|AppMag = -3"), "aperio.AppMag '-3'"),
        (TiledSlide(description="Aperio|AppMag = "), "aperio.AppMag ''"),
        (
            TiledSlide(
                description=philips_xml([1]).replace('"0.00025" "0.00025"', "0.00025", 1),
                software="Philips DP v1.0",
            ),
            "philips.DICOM_PIXEL_SPACING",
        ),
        (
            TiledSlide(
                description=philips_xml([1]).replace(">WSI<", ">MACROIMAGE<"),
                software="Philips DP v1.0",
            ),
            "0 images",
        ),
    ],
)
def test_what_openslide_may_read_otherwise_errors(slide, reason, tmp_path):
    path = write_slide(tmp_path / "slide.tiff", slide)
    answer = read_levels(LocalSource(path))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason
