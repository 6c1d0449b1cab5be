"""Tissue and patches go out as GeoJSON, and come back in as a mask."""

import json

import numpy as np
import openslide
import pytest

from beamscope.transforms.slides.annotations import as_geojson
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.planning.sight import look_at_slide
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide

BOUNDS = {
    "openslide.bounds-x": "60",
    "openslide.bounds-y": "40",
    "openslide.bounds-width": "1500",
    "openslide.bounds-height": "1400",
}


@pytest.fixture(
    params=["sample", "bounds", "CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff"]
)
def slide(request, tmp_path, monkeypatch):
    """A request and settings: made, with bounds, and real."""
    if request.param == "sample":
        write_sample_slide(tmp_path / "s.svs", SampleSlide(width=3000, height=2600, mpp=0.5))
        return str(tmp_path / "s.svs"), SlideSettings(patch_px=128, stride_px=128)
    if request.param == "bounds":
        rgba = np.full((1600, 1800, 4), (244, 242, 243, 255), np.uint8)
        rgba[300:1100, 200:1300, :3] = (200, 90, 160)
        rgba[500:700, 500:800, :3] = (244, 242, 243)
        fake = FakeSlide(rgba, mpp="0.5", properties=BOUNDS)
        monkeypatch.setattr(openslide, "OpenSlide", fake.open)
        return "fake.svs", SlideSettings(patch_px=64, stride_px=64, reader="openslide")
    return str(shared(f"data/slides/{request.param}")), SlideSettings()


def corners(plan):
    return set(zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True))


def test_the_round_trip_gives_the_same_patches(slide, tmp_path):
    uri, settings = slide
    plan = plan_slide(SlideRequest("s", uri), settings)
    assert plan.patches > 5
    mask = tmp_path / "s.geojson"
    sight = look_at_slide(SlideRequest("s", uri), settings)
    mask.write_bytes(as_geojson(sight, plan.x_level0, plan.y_level0))
    by_mask = SlideSettings(
        tissue="mask", patch_px=settings.patch_px, stride_px=settings.stride_px,
        reader=settings.reader,
    )  # fmt: skip
    again = plan_slide(SlideRequest("s", uri, mask=str(mask)), by_mask)
    assert corners(again) == corners(plan)
    np.testing.assert_array_equal(again.tissue, plan.tissue)
    assert set(again.classes) == {"Tissue"}

    # Corrected: the person leaves the left half out, and draws a new area at its right.
    document = json.loads(mask.read_text())
    patches = [f for f in document["features"] if f["properties"]["objectType"] == "detection"]
    assert len(patches) == plan.patches
    left, top, right, bottom = extent(document)
    middle = (left + right) / 2
    box = [[middle, top], [right, top], [right, bottom], [middle, bottom], [middle, top]]
    document["features"] = [
        {"type": "Feature", "properties": {"objectType": "annotation"},
         "geometry": {"type": "Polygon", "coordinates": [box]}},
        *patches,
    ]  # fmt: skip
    mask.write_text(json.dumps(document))
    corrected = plan_slide(SlideRequest("s", uri, mask=str(mask)), by_mask)
    offset = sight.small.region.x if sight.in_bounds else 0
    size = plan.read.size_level0
    # A quarter of each patch at least is right of the middle.
    assert min(x for x, _ in corners(corrected)) + 0.75 * size >= middle + offset - 1
    assert {c for c in corners(plan) if c[0] >= middle + offset} <= corners(corrected)


def extent(document):
    points = np.concatenate([
        np.concatenate(feature["geometry"]["coordinates"])
        for feature in document["features"]
        if feature["properties"]["objectType"] == "annotation"
    ])  # fmt: skip
    return (*points.min(axis=0), *points.max(axis=0))


def test_the_patches_are_where_qupath_shows_them(slide):
    """Level-0 pixels, from the corner of the bounds: the patch that is read there is the same."""
    uri, settings = slide
    plan = plan_slide(SlideRequest("s", uri), settings)
    sight = look_at_slide(SlideRequest("s", uri), settings)
    document = json.loads(as_geojson(sight, plan.x_level0, plan.y_level0))
    first = next(f for f in document["features"] if f["properties"]["objectType"] == "detection")
    ((left, top), _, (right, bottom), *_) = first["geometry"]["coordinates"][0]
    bounds = [int(BOUNDS[f"openslide.bounds-{axis}"]) for axis in "xy"] if "fake" in uri else [0, 0]
    assert (left + bounds[0], top + bounds[1]) == (plan.x_level0[0], plan.y_level0[0])
    assert right - left == bottom - top == pytest.approx(plan.read.size_level0)
