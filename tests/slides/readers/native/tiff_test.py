from pathlib import Path

import openslide
import pytest

from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.native.tiff import read_levels
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.native.files import APERIO, TiledSlide, tile_place, write_slide

SLIDES = (
    "CMU-1-Small-Region.svs",
    "cmu1_jp2k_33005_pyr.svs",
    "cmu1_sparse_tiles.svs",
    "tcga-cr-7395-01a-01-ts1.svs",
    "tcga_generic_pyramid_mpp0.5.tiff",
)


def agree(path: Path) -> None:
    plain = OpenSlideReader(path)
    properties, levels = read_levels(LocalSource(path))
    assert properties["openslide.vendor"] == plain.vendor
    with openslide.OpenSlide(path) as slide:
        assert [(level.width, level.height) for level in levels] == list(slide.level_dimensions)
        assert [level.downsample for level in levels] == list(slide.level_downsamples)


def refusal(path: Path) -> str:
    answer = read_levels(LocalSource(path))
    assert isinstance(answer, NotServed)
    assert answer.kind == "not_served"
    return answer.reason


@pytest.mark.parametrize("name", SLIDES)
def test_levels_are_those_of_openslide(name):
    agree(shared(f"data/slides/{name}"))


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
def test_thumbnail_is_no_level(compression, tmp_path):
    path = tmp_path / "slide.svs"
    write_sample_slide(path, SampleSlide(1100, 900, compression=compression, levels=2))
    agree(path)


@pytest.mark.parametrize(
    "sizes",
    [
        ((700, 600), (350, 300)),
        ((700, 600), (233, 200), (77, 66)),
    ],
)
@pytest.mark.parametrize("description", [None, APERIO])
def test_pyramids_are_those_of_openslide(sizes, description, tmp_path):
    agree(write_slide(tmp_path / "slide.tiff", TiledSlide(sizes, description=description)))


UNORDERED = ((700, 600), (100, 80), (350, 300))


def test_generic_levels_are_sorted(tmp_path):
    agree(write_slide(tmp_path / "slide.tiff", TiledSlide(UNORDERED)))


def test_unordered_aperio_errors(tmp_path):
    path = write_slide(tmp_path / "slide.svs", TiledSlide(UNORDERED, description=APERIO))
    assert "no format" in OpenSlideReader.open(str(path)).reason
    assert "not in order" in refusal(path)


def test_tiles_are_where_the_file_says(tmp_path):
    slide = TiledSlide(((700, 600), (350, 300)), missing=((1, 4),))
    path = write_slide(tmp_path / "slide.tiff", slide)
    _, (full, half) = read_levels(LocalSource(path))
    assert (full.offsets.shape, half.offsets.shape) == ((5, 6), (3, 3))
    assert (full.offsets[2, 3], full.lengths[2, 3]) == tile_place(path, 0, 15)
    assert half.lengths[1, 1] == 0
    assert (half.lengths > 0).sum() == 8


class CountingSource(LocalSource):
    bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        self.bytes_read += length
        return super().read(offset, length)


def test_only_directories_are_read(tmp_path):
    path = tmp_path / "slide.svs"
    write_sample_slide(path, SampleSlide(4096, 4096, coverage=1))
    source = CountingSource(path)
    read_levels(source)
    assert source.bytes_read < 10 * 65536 < source.size / 5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("data/slides/test3-DAPI-2-(387).ndpi", "a slide of hamamatsu"),
        ("data/xrays/originals", None),
    ],
)
def test_other_files_errors(name, reason):
    path = shared(name)
    if path.is_dir():
        path = next(path.glob("*.png"))
    assert (reason or "") in refusal(path)


@pytest.mark.parametrize("length", [0, 3, 8, 100, 200, 1000, 20_000])
def test_cut_off_files_errors(length, tmp_path):
    whole = write_slide(tmp_path / "slide.tiff", TiledSlide(((700, 600), (350, 300))))
    path = tmp_path / "cut.tiff"
    path.write_bytes(whole.read_bytes()[:length])
    assert refusal(path)


@pytest.mark.parametrize("kind", ["deflate", "planar", "grey", "16 bits"])
def test_levels_that_are_not_served_errors(kind, tmp_path):
    import numpy as np
    import tifffile

    path = tmp_path / "slide.tiff"
    shape = {"planar": (3, 256, 256), "grey": (256, 256)}.get(kind, (256, 256, 3))
    tifffile.imwrite(
        path,
        np.zeros(shape, np.uint16 if kind == "16 bits" else np.uint8),
        tile=(128, 128),
        photometric="minisblack" if kind == "grey" else "rgb",
        planarconfig="separate" if kind == "planar" else None,
        compression="deflate" if kind in ("deflate", "16 bits") else "jpeg",
    )
    _, (level,) = read_levels(LocalSource(path))
    assert level.not_served is not None
