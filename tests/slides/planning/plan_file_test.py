import numpy as np
import pytest

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.plan import (
    EmptyPlan,
    FailedPlan,
    ReadyPlan,
    SlideFacts,
)
from beamscope.transforms.slides.planning.plan_file import (
    find_plan,
    glance,
    plan_picture,
    read_picture,
    read_plan,
    write_plan,
)
from beamscope.transforms.slides.planning.resolution import SlideMpp
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "0123456789abcdef")


@pytest.fixture
def request_(tmp_path):
    path = tmp_path / "slide.svs"
    path.write_bytes(b"12345")
    return SlideRequest("slide", str(path))


FACTS = SlideFacts("aperio", 1000, 900)
OPENED = {
    "facts": FACTS,
    "mpp": SlideMpp(0.25, 0.2501, "slide"),
    "read": ReadPlan(1, 2.0005, 224, 224, 0.5, 0.500125, "decoder"),
    "reader": "native",
    "version": None,
}


def ready_plan(request, **changes):
    values = {
        **OPENED,
        "x_level0": np.array([0, 448, 896], np.int32),
        "y_level0": np.array([0, 0, 448], np.int32),
        "tissue": np.array([0.5, 1.0, 0.25], np.float32),
        "classes": ("Tumor", None, "Stroma"),
        "block_size": 2,
        "picture": Picture(b"\xff\xd8jpeg", 10, 20, 2.5),
    }
    return ReadyPlan(slide_id=request.slide_id, uri=request.uri, **(values | changes))


def empty_plan(request, picture=None):
    return EmptyPlan(
        slide_id=request.slide_id,
        uri=request.uri,
        reason="no tissue found",
        picture=picture,
        **OPENED,
    )


def seen_empty_plan(request):
    return empty_plan(request, Picture(b"\xff\xd8jpeg", 0, 0, 2.0))


def failed_plan(request, **known):
    problem = Problem("slide", request.uri, "plan", "missing_mpp", "the slide says nothing")
    return FailedPlan(slide_id=request.slide_id, uri=request.uri, problem=problem, **known)


def known_failed_plan(request):
    return failed_plan(request, facts=FACTS, mpp=SlideMpp(0.25, 0.25, "manifest"))


def assert_same(one, other):
    assert type(one) is type(other)
    for name in one.__dataclass_fields__:
        if name == "picture":
            continue
        np.testing.assert_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "make", [ready_plan, empty_plan, seen_empty_plan, failed_plan, known_failed_plan]
)
def test_round_trip(layout, request_, make):
    plan = make(request_)
    write_plan(layout, request_, plan)
    path = layout.plan("slide")
    assert_same(read_plan(path), plan)
    assert glance(path) == PlanGlance(plan.patches, isinstance(plan, FailedPlan))
    assert read_picture(layout, read_plan(path)) == plan_picture(plan)


@pytest.mark.parametrize("make", [ready_plan, empty_plan])
def test_an_earlier_plan_serves_again(layout, request_, make):
    assert find_plan(layout, request_) is None
    write_plan(layout, request_, make(request_))
    assert_same(find_plan(layout, request_), make(request_))


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
    write_plan(layout, request_, ready_plan(request_))
    assert find_plan(layout, change(tmp_path, request_)) is None


def test_another_way_to_write_the_same_path_is_the_same_slide(layout, request_, tmp_path):
    write_plan(layout, request_, ready_plan(request_))
    roundabout = SlideRequest("slide", f"{tmp_path}/./../{tmp_path.name}/slide.svs")
    assert find_plan(layout, roundabout) is not None


@pytest.mark.parametrize(
    ("changes", "now", "holds"),
    [
        # Assumed for this slide: another value, or none, is another plan.
        ({"mpp": SlideMpp(0.25, 0.25, "assumed")}, {"assume_mpp": 0.25}, True),
        ({"mpp": SlideMpp(0.25, 0.25, "assumed")}, {"assume_mpp": 0.5}, False),
        ({"mpp": SlideMpp(0.25, 0.25, "assumed")}, {}, False),
        # A slide that says its resolution does not mind.
        ({}, {"assume_mpp": 0.5}, True),
        ({"mpp": SlideMpp(0.25, 0.5, "slide")}, {}, False),
        ({"mpp": SlideMpp(0.25, 0.5, "slide")}, {"allow_implausible_mpp": True}, True),
        ({"read": ReadPlan(0, 1.0, 112, 224, 0.5, 1.0)}, {}, False),
        ({"read": ReadPlan(0, 1.0, 112, 224, 0.5, 1.0)}, {"allow_upsampling": True}, True),
        ({}, {"tissue": "mask"}, False),
        ({}, {"tissue": "mask", "otsu_without_mask": True}, True),
        ({}, {"allow_upsampling": True, "allow_implausible_mpp": True}, True),
    ],
)
def test_a_plan_holds_as_long_as_what_let_the_slide_in_is_given(
    layout, request_, changes, now, holds
):
    write_plan(layout, request_, ready_plan(request_, **changes))
    settings = {name: value for name, value in now.items() if name != "assume_mpp"}
    request = SlideRequest("slide", request_.uri, assume_mpp=now.get("assume_mpp"))
    found = find_plan(layout, request, SlideSettings(**settings))
    assert (found is not None) is holds
