"""Areas, from which thumbnails are made, must equal OpenSlide's to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.native.files import (
    KINDS,
    ODD_PYRAMID,
    TiledSlide,
    damage,
    write_slide,
)

REAL = ("CMU-1-Small-Region.svs", "cmu1_sparse_tiles.svs", "tcga_generic_pyramid_mpp0.5.tiff")


def opened(path):
    plain = OpenSlideReader(path)
    return plain, NativeReader.of_source(LocalSource(path), lambda: plain)


def everywhere(scanned, rgb):
    return np.ones(rgb.shape[:2], bool) if scanned is None else scanned


def agree(plain, native, where, most):
    ours, scanned = native.read_area(*where)
    theirs, there = plain.read_area(*where)
    assert np.array_equal(everywhere(scanned, ours), everywhere(there, theirs))
    assert np.abs(ours.astype(int) - theirs).max() <= most


@pytest.mark.parametrize("name", [*KINDS, *REAL])
def test_whole_levels_are_those_of_openslide(name, tmp_path):
    path = (
        write_slide(tmp_path / "slide.tiff", KINDS[name])
        if name in KINDS
        else shared(f"data/slides/{name}")
    )
    plain, native = opened(path)
    for level, (width, height) in enumerate((level.width, level.height) for level in plain.levels):
        agree(plain, native, (0, 0, level, width, height), 0)
        # Rounding may ask for some pixels beyond the level's end.
        agree(plain, native, (0, 0, level, width + 3, height + 2), 0)


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    slide = TiledSlide(ODD_PYRAMID, missing=((0, 8), (0, 29), (1, 1), (2, 0)))
    return opened(write_slide(tmp_path_factory.mktemp("sparse") / "sparse.tiff", slide))


@settings(max_examples=60, deadline=None)
@given(
    x=st.integers(0, 720),
    y=st.integers(0, 620),
    level=st.integers(0, 2),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
)
def test_the_same_anywhere(sparse, x, y, level, width, height):
    # Between pixels to a grey level, as patches are.
    agree(*sparse, (x, y, level, width, height), 1 if level else 0)


def test_an_area_with_a_broken_tile_errors(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    damage(path, 0, 8, 20, bytes(2))  # column 2, row 1
    plain, native = opened(path)
    for reader in (plain, native):
        with pytest.raises(InputError) as error:
            reader.read_area(0, 0, 0, 700, 600)
        assert error.value.kind == "unreadable_region"
    assert "tile (2, 1) of level 0: " in error.value.message
    agree(*opened(path), (0, 0, 0, 700, 128), 0)


def test_an_area_with_a_tile_that_only_openslide_reads(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    damage(path, 0, 8, 700, b"\x55")
    plain, native = opened(path)
    agree(plain, native, (0, 0, 0, 700, 600), 0)
    alone = NativeReader.of_source(LocalSource(path), lambda: NotServed("not here"))
    with pytest.raises(InputError, match="OpenSlide was not asked: not here") as error:
        alone.read_area(0, 0, 0, 700, 600)
    assert error.value.kind == "unreadable_region"
