import numpy as np
import pytest

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.plan import SlidePlan
from beamscope.transforms.slides.planning.plan_file import (
    find_plan,
    planned_patches,
    read_picture,
    read_plan,
    write_plan,
)
from beamscope.transforms.slides.planning.resolution import ReadPlan, SlideMpp
from beamscope.transforms.slides.requests import SlideRequest


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "0123456789abcdef")


@pytest.fixture
def request_(tmp_path):
    path = tmp_path / "slide.svs"
    path.write_bytes(b"12345")
    return SlideRequest("slide", str(path))


def good_plan(request, **changes):
    values = {
        "vendor": "aperio",
        "width_level0": 1000,
        "height_level0": 900,
        "mpp": SlideMpp(0.25, 0.2501, "slide"),
        "read": ReadPlan(1, 2.0005, 224, 224, 0.5, 0.500125),
        "reader": "openslide",
        "x_level0": np.array([0, 448, 896], np.int32),
        "y_level0": np.array([0, 0, 448], np.int32),
        "tissue": np.array([0.5, 1.0, 0.25], np.float32),
        "classes": ("Tumor", None, "Stroma"),
        "block_size": 2,
        "picture": Picture(b"\xff\xd8jpeg", 10, 20, 2.5),
    }
    return SlidePlan(request.slide_id, request.uri, **(values | changes))


def failed_plan(request):
    problem = Problem("slide", request.uri, "plan", "missing_mpp", "the slide says nothing")
    return SlidePlan(request.slide_id, request.uri, problem=problem)


def assert_same(one, other):
    for name in one.__dataclass_fields__:
        if name == "picture":
            continue
        np.testing.assert_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("make", [good_plan, failed_plan], ids=["good", "failed"])
def test_round_trip(layout, request_, make):
    plan = make(request_)
    write_plan(layout, request_, plan)
    path = layout.plan("slide")
    assert_same(read_plan(path), plan)
    assert planned_patches(path) == plan.patches
    assert read_picture(layout, read_plan(path)) == plan.picture


def test_an_earlier_plan_serves_again(layout, request_):
    assert find_plan(layout, request_) is None
    write_plan(layout, request_, good_plan(request_))
    assert_same(find_plan(layout, request_), good_plan(request_))


def test_a_failed_slide_is_planned_again(layout, request_):
    write_plan(layout, request_, failed_plan(request_))
    assert find_plan(layout, request_) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda folder, request: SlideRequest("slide", request.uri, mpp=0.25),
        lambda folder, request: SlideRequest("slide", request.uri, mask="m.png"),
        lambda folder, request: SlideRequest("slide", str(folder / "other.svs")),
        lambda folder, request: (folder / "slide.svs").write_bytes(b"123456") and request,
        lambda folder, request: (folder / "slide.svs").unlink() or request,
    ],
    ids=["mpp", "mask", "uri", "size", "gone"],
)
def test_a_plan_does_not_outlive_what_it_was_made_from(tmp_path, layout, request_, change):
    write_plan(layout, request_, good_plan(request_))
    assert find_plan(layout, change(tmp_path, request_)) is None


def test_another_way_to_write_the_same_path_is_the_same_slide(layout, request_, tmp_path):
    write_plan(layout, request_, good_plan(request_))
    roundabout = SlideRequest("slide", f"{tmp_path}/./../{tmp_path.name}/slide.svs")
    assert find_plan(layout, roundabout) is not None
