"""The cases of slides and masks that went wrong, planned from their own files."""

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.requests import find_slides, read_manifest
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared

# As --tissue mask --min_tissue 0.01 --stride 112 of slides at 0.5 µm/px.
BY_MASK = SlideSettings(tissue="mask", min_tissue=0.01, stride_px=112)
WIDTH, HEIGHT, SIDE, STEP = 2048, 1792, 224, 112
CORNERS = [
    (x, y) for y in range(0, HEIGHT - SIDE + 1, STEP) for x in range(0, WIDTH - SIDE + 1, STEP)
]


def planned(case):
    """Number of patches, and their summed tissue, of each slide of a case's manifest."""
    requests = read_manifest(str(shared(f"cases/slides/{case}") / "man.csv"))
    plans = [plan_slide(request, BY_MASK) for request in requests]
    return {plan.slide_id: (plan.patches, float(plan.tissue.sum())) for plan in plans}


def summed(fraction_at):
    """The same by hand: of every patch of the grid the fraction of its area."""
    fractions = np.array([fraction_at(x, y) for x, y in CORNERS])
    taken = fractions[fractions >= BY_MASK.min_tissue]
    return len(taken), pytest.approx(taken.sum(), abs=1e-3)


def box(x, y):
    """Of the box that is annotated, 512 to 1024 by 448 to 896, the part of a patch."""
    wide = min(x + SIDE, 1024) - max(x, 512)
    high = min(y + SIDE, 896) - max(y, 448)
    return max(wide, 0) * max(high, 0) / SIDE**2


def test_a_mask_is_the_same_whatever_compresses_it():
    blob = np.asarray(Image.open(shared("cases/slides/jpeg_in_tiff_mask/blob.png"))) > 0
    # A pixel of it is 2 µm. Tissue is decided on pixels of 8 µm, by the larger part.
    height, width = (side // 4 for side in blob.shape)
    coarse = blob.reshape(height, 4, width, 4).mean(axis=(1, 3)) >= 0.5
    pixels = coarse.repeat(16, axis=0).repeat(16, axis=1)
    expected = summed(lambda x, y: pixels[y : y + SIDE, x : x + SIDE].mean())
    assert expected == (28, pytest.approx(13.35, abs=0.005))
    assert planned("jpeg_in_tiff_mask") == dict.fromkeys(
        ("jpg", "png", "pyr", "rgb", "tif"), expected
    )


def test_index_0_is_background_whatever_its_colour():
    assert summed(box)[0] == 35
    assert planned("qupath_indexed_mask") == {"b": summed(box), "q": summed(box)}


def test_small_polygons_are_their_union():
    found = planned("small_polygons")
    assert found["box"] == found["tiles"] == summed(box)
    # 1634 circles, each a polygon of which shapely (2.1) sums the area in every patch.
    assert found["cells"] == (40, pytest.approx(11.81367, abs=1e-3))


def test_planes_are_refused():
    (request,) = find_slides([str(shared("cases/slides/ome_planes"))]).slides
    for tissue in ("none", "otsu"):
        plan = plan_slide(request, SlideSettings(tissue=tissue))
        assert plan.problem.kind == "unsupported_slide"
