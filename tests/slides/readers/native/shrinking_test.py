import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.shrinking import lattice
from tests.shared_data import shared
from tests.slides.readers.native.reading import (
    by_openslide,
    difference,
    natively,
    opened,
    places,
    plan,
)


@settings(max_examples=30, deadline=None)
@given(
    x=st.integers(0, 180),
    y=st.integers(0, 160),
    shrink=st.sampled_from([2, 4, 8]),
    level=st.integers(0, 1),
)
def test_tiles_are_averaged_as_patches_would_be(sample, x, y, shrink, level):
    plain, native = opened(sample)
    x, y = (np.array([value * shrink * 2**level]) for value in (x, y))
    read = plan(plain, level, 32 * shrink, 32)
    assert np.array_equal(natively(native, x, y, read), by_openslide(plain, x, y, read))


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize(
    "name", ["sample", "CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff"]
)
def test_the_decoder_shrinks_as_averaging_does(name, shrink, sample):
    plain, native = opened(sample if name == "sample" else shared(f"data/slides/{name}"))
    read = plan(plain, 0, 128 * shrink, 128)
    x, y = (shrink * (v // shrink) for v in places(plain, n=16, reach=read.read_px))
    shrunk, averaged = (natively(native, x, y, read, scaled=scaled) for scaled in (True, False))
    assert 0 < difference(shrunk, averaged).mean() <= 0.75


def test_only_on_the_lattice_does_the_decoder_shrink(sample):
    plain, native = opened(sample)
    read = plan(plain, 0, 448, 224)
    x, y = np.array([86, 87, 86, 1400]), np.array([40, 40, 41, 40])
    shrunk, averaged = (natively(native, x, y, read, scaled=scaled) for scaled in (True, False))
    same = [np.array_equal(a, b) for a, b in zip(shrunk, averaged, strict=True)]
    # The last sticks out of the slide, where there is nothing to shrink.
    assert same == [False, True, True, True]


@pytest.mark.parametrize(
    ("read_px", "patch_px", "expected"),
    [
        (448, 224, 2),
        (896, 224, 4),
        (1792, 224, 8),
        (3584, 224, 8),
        (1344, 224, 2),
        (672, 224, 1),
        (224, 224, 1),
        (491, 224, 1),
        (112, 224, 1),
    ],
)
def test_lattice(read_px, patch_px, expected):
    assert lattice(ReadPlan(0, 1.0, read_px, patch_px, 0.5, 0.25)) == expected
