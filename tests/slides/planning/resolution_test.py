import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.resolution import (
    MAX_UPSAMPLING,
    SlideMpp,
    is_plausible,
    plan_reading,
    resolve_mpp,
)
from beamscope.transforms.slides.readers.geometry import Level


def levels_of(*downsamples):
    return [
        Level(number, round(9e5 / d), round(6e5 / d), d) for number, d in enumerate(downsamples)
    ]


MPP = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.2502"}
POWER = {"openslide.objective-power": "20"}
ZERO = {"openslide.mpp-x": "0", "openslide.mpp-y": "0.0"}


@pytest.mark.parametrize(
    ("properties", "arguments", "expected"),
    [
        (MPP, {}, SlideMpp(0.25, 0.2502, "slide")),
        (MPP, {"manifest_mpp": 0.3}, SlideMpp(0.3, 0.3, "manifest")),
        (MPP | POWER, {"assume_mpp": 1.0}, SlideMpp(0.25, 0.2502, "slide")),
        (POWER, {}, SlideMpp(0.5, 0.5, "objective")),
        (POWER, {"assume_mpp": 0.25}, SlideMpp(0.5, 0.5, "objective")),
        # Zero says nothing.
        (
            {"openslide.mpp-x": "0", "openslide.mpp-y": "0.0"} | POWER,
            {},
            SlideMpp(0.5, 0.5, "objective"),
        ),
        (MPP | {"openslide.mpp-x": "0"} | POWER, {}, SlideMpp(0.2502, 0.2502, "slide")),
        ({}, {"assume_mpp": 0.25}, SlideMpp(0.25, 0.25, "assumed")),
        ({"openslide.mpp-x": "0.4"}, {}, SlideMpp(0.4, 0.4, "slide")),
        # A TIFF that says 72 dots per inch, taken at its word.
        (
            {"openslide.mpp-x": "352.8"},
            {"allow_implausible": True},
            SlideMpp(352.8, 352.8, "slide"),
        ),
        # The manifest overrides what the slide says wrongly.
        ({"openslide.mpp-x": "352.8"}, {"manifest_mpp": 0.5}, SlideMpp(0.5, 0.5, "manifest")),
    ],
)
def test_resolve_mpp(properties, arguments, expected):
    assert resolve_mpp(properties, **arguments) == expected


@pytest.mark.parametrize(
    ("properties", "arguments", "kind", "named"),
    [
        ({}, {}, "missing_mpp", "--assume_mpp"),
        ({"openslide.mpp-x": "352.8", "openslide.mpp-y": "352.8"}, {}, "implausible_mpp", "352.8"),
        ({"openslide.mpp-x": "0.049"}, {}, "implausible_mpp", "0.049"),
        (
            {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.27"},
            {},
            "implausible_mpp",
            "0.25 x 0.27",
        ),
        ({}, {"manifest_mpp": 250.0}, "implausible_mpp", "250"),
        # What is no number or not positive is useless, whatever is allowed.
        ({"openslide.mpp-x": "abc"}, {"allow_implausible": True}, "implausible_mpp", "nan"),
        ({"openslide.mpp-x": "0"}, {"allow_implausible": True}, "implausible_mpp", "0"),
        ({"openslide.mpp-x": "-0.5"}, {"allow_implausible": True}, "implausible_mpp", "-0.5"),
        ({"openslide.objective-power": "0"}, {}, "implausible_mpp", "nan"),
        ({"openslide.objective-power": "1000"}, {}, "implausible_mpp", "0.01"),
    ],
)
def test_resolve_mpp_errors(properties, arguments, kind, named):
    with pytest.raises(InputError) as caught:
        resolve_mpp(properties, **arguments)
    assert caught.value.kind == kind
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("x", "y", "plausible"),
    [
        (0.25, 0.25, True),
        (0.05, 0.05, True),
        (20.0, 20.0, True),
        (0.0499, 0.05, False),
        (20.0, 20.1, False),
        (1.0, 1.05, True),
        (1.06, 1.0, False),
    ],
)
def test_is_plausible(x, y, plausible):
    assert is_plausible(SlideMpp(x, y, "slide")) is plausible


@pytest.mark.parametrize(
    ("downsamples", "slide_mpp", "mpp", "level", "read_px", "effective"),
    [
        # A 40x slide without a level in between: twice as many pixels of level 0.
        ((1.0, 4.0, 16.0), 0.25, 0.5, 0, 448, 0.5),
        ((1.0, 2.0, 4.0), 0.25, 0.5, 1, 224, 0.5),
        ((1.0, 2.0, 4.0), 0.25, 1.0, 2, 224, 1.0),
        # A level that misses the request by the rounding of its extent is the one to read.
        ((1.0, 2.0005), 0.25, 0.5, 1, 224, 0.500125),
        ((1.0, 4.002, 8.017), 0.499, 0.5, 0, 224, 0.499),
        ((1.0, 4.002, 8.017), 0.499, 4.0, 2, 224, 4.000483),
        ((1.0, 4.002, 8.017), 0.499, 3.9, 1, 437, 3.895855),
        ((1.0, 2.0, 4.0), 0.2281750559, 0.5, 1, 245, 0.4991329),
        # 20x slides of a little more than 0.5 are read as they are, or enlarged by a hair.
        ((1.0, 4.0), 0.5034, 0.5, 0, 222, 0.49891),
    ],
)
def test_plan_reading(downsamples, slide_mpp, mpp, level, read_px, effective):
    read = plan_reading(levels_of(*downsamples), slide_mpp, mpp=mpp, patch_px=224)
    assert (read.level, read.read_px) == (level, read_px)
    assert read.mpp_effective == pytest.approx(effective, rel=1e-4)
    assert read.mpp_requested == mpp
    assert read.size_level0 == pytest.approx(read_px * downsamples[level])


def test_the_number_of_a_level_is_that_of_the_file():
    # Level 1 of the file was a label.
    levels = [Level(0, 900, 600, 1.0), Level(2, 225, 150, 4.0)]
    read = plan_reading(levels, 0.25, mpp=1.0, patch_px=64)
    assert (read.level, read.downsample) == (2, 4.0)


def test_of_equal_levels_the_first_is_read():
    levels = [Level(0, 900, 600, 1.0), Level(1, 450, 300, 2.0), Level(2, 450, 300, 2.0)]
    assert plan_reading(levels, 0.25, mpp=0.5, patch_px=64).level == 1


def test_plan_reading_errors():
    with pytest.raises(InputError, match="level 0 has 1 µm/px") as caught:
        plan_reading(levels_of(1.0, 4.0), 1.0, mpp=0.5, patch_px=224)
    assert caught.value.kind == "too_coarse"
    read = plan_reading(levels_of(1.0, 4.0), 1.0, mpp=0.5, patch_px=224, allow_upsampling=True)
    assert (read.level, read.read_px, read.mpp_effective) == (0, 112, 0.5)


@given(
    slide_mpp=st.floats(0.1, 1.0),
    ratio=st.floats(1.0, 64.0),
    factor=st.sampled_from([2, 3, 4]),
    levels=st.integers(1, 6),
    patch_px=st.sampled_from([96, 224, 448]),
)
def test_effective_mpp_is_the_request_but_for_rounding(slide_mpp, ratio, factor, levels, patch_px):
    mpp = slide_mpp * ratio
    downsamples = [float(factor**i) for i in range(levels)]
    read = plan_reading(levels_of(*downsamples), slide_mpp, mpp=mpp, patch_px=patch_px)
    # Half a pixel of at least patch_px.
    assert math.isclose(read.mpp_effective, mpp, rel_tol=0.5 / patch_px + 1e-9)
    # Never finer than needed: the next level would have been too coarse.
    if read.level + 1 < levels:
        assert read.mpp_level * factor > mpp * (1 - 0.5 / patch_px) / MAX_UPSAMPLING
