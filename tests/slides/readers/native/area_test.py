"""Thumbnails are made from areas: they must be to the last bit what OpenSlide gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.native.slide import open_native
from beamscope.transforms.slides.readers.openslide_reader import SlideReader
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.native.files import (
    APERIO,
    KINDS,
    ODD_PYRAMID,
    TiledSlide,
    damage,
    write_slide,
)

REAL = ("CMU-1-Small-Region.svs", "cmu1_sparse_tiles.svs", "tcga_generic_pyramid_mpp0.5.tiff")


def opened(path):
    return SlideReader(path), open_native(LocalSource(path))


def agree(plain, native, where, most):
    ours, scanned = native.read_area(*where)
    theirs, there = plain.read_area(*where)
    assert np.array_equal(np.ones_like(there) if scanned is None else scanned, there)
    assert np.abs(ours.astype(int) - theirs).max() <= most


@pytest.mark.parametrize("name", [*KINDS, *REAL])
def test_whole_levels_are_those_of_openslide(name, tmp_path):
    path = (
        write_slide(tmp_path / "slide.tiff", KINDS[name])
        if name in KINDS
        else shared(f"data/slides/{name}")
    )
    plain, native = opened(path)
    for level, (width, height) in enumerate(plain.level_dimensions):
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


def test_a_level_that_is_not_served_errors(tmp_path):
    slide = TiledSlide(ODD_PYRAMID, description=APERIO, missing=((1, 1),))
    native = open_native(LocalSource(write_slide(tmp_path / "slide.svs", slide)))
    with pytest.raises(InputError, match="level 1: missing tiles") as error:
        native.read_area(0, 0, 1, 10, 10)
    assert error.value.kind == "not_served"
