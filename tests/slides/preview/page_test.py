"""The page computes in a browser what the planner does with the flags that it prints."""

import json
import re
import shlex
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.slides import add_slide_arguments, slide_settings_from
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.planning.sight import look_at_slide
from beamscope.transforms.slides.preview.data import preview_of
from beamscope.transforms.slides.preview.page import page
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from tests.browser import page_after, screenshot
from tests.shared_data import shared

REAL = ("CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff", "test3-DAPI-2-(387).ndpi")


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """A made slide, and real ones: bright, and dark."""
    made = tmp_path_factory.mktemp("slides") / "made.svs"
    write_sample_slide(made, SampleSlide(width=4096, height=3000, mpp=0.5, seed=4))
    real = [shared(f"data/slides/{name}") for name in REAL]
    # A manifest may give any name.
    named = SlideRequest("made </script>", str(made))
    return [named, *(SlideRequest(path.stem, str(path)) for path in real)]


def write_page(requests, settings, folder):
    previews = [preview_of(look_at_slide(request, settings), settings) for request in requests]
    path = folder / "index.html"
    path.write_text(page(previews, settings, title="4 slides", note="a note & more"))
    return path


def in_browser(path, folder, **values):
    """What the page says with its sliders at some values."""
    address = f"file://{path}#{urllib.parse.urlencode(values)}"
    html = page_after(address, folder)
    text = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', html, re.S)[1]
    assert text, "the page has computed nothing"
    return json.loads(text)


def settings_of_flags(flags, **others):
    parser = Parser(prog="slides")
    add_slide_arguments(parser)
    args = parser.parse_args(["--input", "x", *shlex.split(flags)])
    for name, value in others.items():
        setattr(args, name, value)
    return slide_settings_from(args, 224)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"tissue_threshold": 0.03},
        {"tissue_threshold": 0.101, "min_tissue": 0.6},
        {"min_tissue": 0},
        {"min_tissue": 1, "min_hole_um2": 0},
        {"min_hole_um2": 250_000, "min_object_um2": 120_000},
        {"tissue_threshold": 0, "min_object_um2": 0, "min_hole_um2": 0},
    ],
)
def test_the_page_and_the_planner_agree(requests, tmp_path, values):
    found = in_browser(write_page(requests, SlideSettings(), tmp_path), tmp_path, **values)
    settings = settings_of_flags(found["flags"])
    assert settings == SlideSettings(**values)
    for request in requests:
        plan = plan_slide(request, settings)
        said = found["slides"][request.slide_id]
        planned = set() if plan.patches == 0 else corners(plan)
        assert {tuple(corner) for corner in said["taken"]} == planned
        assert said["outside"] == plan.funnel["outside_tissue"]
        assert said["below"] == plan.funnel["below_min_tissue"]


def corners(plan):
    return set(zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True))


@pytest.mark.parametrize("tissue", ["none", "mask"])
def test_given_masks_and_no_tissue_at_all(requests, tmp_path, tissue):
    request = requests[0]
    mask = tmp_path / "m.geojson"
    ring = [[100.5, 90.25], [2100, 300], [1500, 2303.3], [100.5, 90.25]]
    mask.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    request = SlideRequest(request.slide_id, request.uri, mask=str(mask))
    settings = SlideSettings(tissue=tissue, min_tissue=0.4, drop=(("white", 0.5),))
    found = in_browser(write_page([request], settings, tmp_path), tmp_path)
    plan = plan_slide(request, settings)
    said = found["slides"][request.slide_id]
    assert {tuple(corner) for corner in said["taken"]} == corners(plan)
    assert said["dropped"] == plan.funnel["white"]
    assert plan.funnel["white"] > 0 or tissue == "mask"
    assert plan.patches > 5


def test_the_page_shows_something_and_asks_nobody(requests, tmp_path):
    path = write_page(requests, SlideSettings(), tmp_path)
    html = path.read_text()
    assert "a note &amp; more" in html
    # Nothing is loaded from elsewhere; the name of a slide ends no script.
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)
    assert "made </script>" not in html
    picture = tmp_path / "page.png"
    screenshot(f"file://{path}", tmp_path, picture)
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape == (1000, 1400, 3)
    # The blue of patches, and the green of the tissue's edge.
    for colour in ((22, 87, 208), (0, 132, 63)):
        near = (np.abs(pixels - colour).max(axis=2) < 40).sum()
        assert near > 500, f"{colour}: {near} pixels"
