import itertools

import cv2
import numpy as np
import openslide
import pytest

from beamscope.transforms.slides.tissue.quality import (
    DEFAULT_THRESHOLDS,
    REASONS,
    measure_quality,
)
from tests.shared_data import shared

GLASS = (244, 242, 243)
PINK, PURPLE = (215, 140, 180), (110, 80, 150)
N = 14  # pixels of 8 µm: 112 µm, a patch of 224 px at 0.5 µm/px


def reasons(rgb, x=(0,), y=(0,), size=N):
    """The reasons that hold for each patch, by the default thresholds."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    side = np.full(len(x), float(size))
    quality = measure_quality(rgb, x, y, side, side)
    poor = {reason: quality.is_poor(reason, DEFAULT_THRESHOLDS[reason]) for reason in REASONS}
    return [{reason for reason in REASONS if poor[reason][i]} for i in range(len(x))]


def textured(colour, seed=0, shape=(N, N)):
    noise = np.random.default_rng(seed).normal(0, 20, (*shape, 1))
    return (np.array(colour) + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        (GLASS, {"white", "blurred"}),
        ((10, 12, 9), {"black", "blurred"}),
        ((128, 126, 130), {"grey", "blurred"}),
        (PINK, {"blurred"}),
    ],
)
def test_flat_patches(colour, expected):
    assert reasons(np.full((N, N, 3), colour, np.uint8)) == [expected]


@pytest.mark.parametrize("colour", [PINK, PURPLE, (170, 110, 160)])
def test_textured_tissue_has_no_reason(colour):
    assert reasons(textured(colour)) == [set()]


def test_the_measure_is_the_fraction_of_the_patch():
    rgb = textured(PINK, shape=(40, 40))
    rgb[:, 20:] = GLASS
    side = np.array([10.0, 10.0, 10.0])
    quality = measure_quality(rgb, np.array([10.0, 14.5, 20.0]), np.array([0.0] * 3), side, side)
    np.testing.assert_allclose(quality.measures["white"], [0, 0.45, 1], atol=0.02)


def test_blur_is_the_deviation_of_the_laplacian():
    rgb = textured(PURPLE, shape=(30, 30))
    laplacian = cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
    side = np.array([8.0])
    quality = measure_quality(rgb, np.array([5.0]), np.array([6.0]), side, side)
    assert quality.measures["blurred"][0] == pytest.approx(laplacian[6:14, 5:13].std(), rel=1e-2)


PENS = {"green": (20, 140, 70), "blue": (30, 90, 200), "cyan": (0, 160, 190)}


@pytest.mark.parametrize("pen", PENS.values(), ids=PENS.keys())
def test_ink_is_told_from_haematoxylin_and_eosin(pen):
    rgb = np.full((40, 60, 3), GLASS, np.uint8)
    rgb[:20, :20], rgb[20:, :20] = textured(PINK, shape=(20, 20)), textured(PURPLE, shape=(20, 20))
    rgb[:, 40:] = textured(pen, shape=(40, 20))
    found = reasons(rgb, [2, 2, 43], [2, 23, 2])
    assert ["ink" in each for each in found] == [False, False, True]


@pytest.mark.parametrize("stain", [(60, 120, 190), (140, 90, 50), (40, 150, 110)])
def test_no_ink_where_the_stain_may_have_its_colour(stain):
    """Blue and green counterstains, trichrome, DAB: nothing is called ink."""
    rgb = np.full((40, 60, 3), GLASS, np.uint8)
    rgb[:, :40] = textured(stain, shape=(40, 40))
    rgb[:, 40:] = textured(PENS["green"], shape=(40, 20))
    assert all("ink" not in each for each in reasons(rgb, [2, 22, 43], [2, 2, 2]))


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff"])
def test_real_tissue_is_in_focus_and_blurred_it_is_not(name):
    """At 8 µm/px; blurred by a Gaussian of 8 µm before it is shrunk."""
    with openslide.OpenSlide(shared(f"data/slides/{name}")) as slide:
        width, height = (round(side * 0.5) for side in slide.dimensions)
        sharp = np.asarray(slide.get_thumbnail((width, height)).convert("RGB"))
    scale = 1 / 8
    poor = []
    for image in (sharp, cv2.GaussianBlur(sharp, (0, 0), 8)):
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        y, x = (corner.ravel() for corner in np.mgrid[0 : height - N : N, 0 : width - N : N])
        coloured = (small.max(2).astype(int) - small.min(2)) > 20
        tissue = [coloured[b : b + N, a : a + N].mean() > 0.7 for a, b in zip(x, y, strict=True)]
        found = list(itertools.compress(reasons(small, x, y), tissue))
        assert len(found) > 30
        assert not any(each & {"white", "black", "grey", "ink"} for each in found)
        poor.append(np.mean(["blurred" in each for each in found]))
    assert poor[0] < 0.01
    # By more blur than a nucleus is wide, structure of cells is gone.
    assert poor[1] > 0.5
