"""A slide's plan as a file."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plans import (
    file_identity,
    read_plan_file,
    read_plan_header,
    write_plan_file,
)
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.plan import SlidePlan
from beamscope.transforms.slides.planning.resolution import ReadPlan, SlideMpp
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.storage import files
from beamscope.transforms.storage.remote_source import RemoteSource

_ARRAYS = ("x_level0", "y_level0", "tissue")
_CLASSES = "classes"  # a column of text, null throughout where there are none
_VALUES = {"problem": Problem, "mpp": SlideMpp, "read": ReadPlan}


def write_plan(layout: Layout, request: SlideRequest, plan: SlidePlan) -> None:
    """Writes a plan and its picture; the plan, which a resume looks for, last."""
    header = {
        field.name: getattr(plan, field.name)
        for field in dataclasses.fields(plan)
        if field.name not in (*_ARRAYS, _CLASSES, "picture")
    }
    picture = plan.picture
    if picture is not None:
        files.write_bytes(layout.plan_picture(plan.slide_id), picture.jpeg)
        header["picture"] = [picture.x_level0, picture.y_level0, picture.scale]
    header |= {"identity": request_identity(request), "patches": plan.patches}
    classes = pa.array(plan.classes or [None] * plan.patches, pa.string())
    table = pa.table({name: getattr(plan, name) for name in _ARRAYS} | {_CLASSES: classes})
    write_plan_file(layout.plan(plan.slide_id), header, table)


def read_plan(path: str) -> SlidePlan:
    """The plan of a file, without the JPEG of its picture."""
    return _as_plan(*read_plan_file(path))


def _as_plan(header: dict[str, Any], patches: pa.Table) -> SlidePlan:
    del header["identity"], header["patches"]
    for name, kind in _VALUES.items():
        header[name] = kind(**header[name]) if header[name] is not None else None
    if "picture" in header:
        header["picture"] = Picture(b"", *header["picture"])
    classes = patches.column(_CLASSES)
    return SlidePlan(
        **header,
        **{name: patches.column(name).to_numpy() for name in _ARRAYS},
        classes=None if classes.null_count == len(classes) else tuple(classes.to_pylist()),
    )


def planned_patches(path: str) -> int:
    """How many patches the plan of a file has, from its header alone."""
    return int(read_plan_header(path)["patches"])


def read_picture(layout: Layout, plan: SlidePlan) -> Picture | None:
    """The picture of a plan that was read from its file."""
    if plan.picture is None:
        return None
    jpeg = files.read_bytes(layout.plan_picture(plan.slide_id))
    return dataclasses.replace(plan.picture, jpeg=jpeg)


def find_plan(layout: Layout, request: SlideRequest) -> SlidePlan | None:
    """The plan that an earlier start left for a slide, where it still holds.

    It does not when the slide failed then, for the cause may be gone; nor when the user names
    another file, resolution or mask for it now, or the size of either file has changed; nor when a
    remote slide that is read by ranges has been written anew.
    """
    path = layout.plan(request.slide_id)
    if not files.exists(path):
        return None
    header, patches = read_plan_file(path)
    if header["problem"] is not None or header["identity"] != request_identity(request):
        return None
    plan = _as_plan(header, patches)
    return None if _is_replaced(plan) else plan


def _is_replaced(plan: SlidePlan) -> bool:
    if plan.generation is None:
        return False
    try:
        RemoteSource(plan.uri, plan.generation)
    except InputError:
        return True
    return False


def request_identity(request: SlideRequest) -> list[Any]:
    """What a plan is made from: which slide and mask, of what size, at what resolution."""
    mask = file_identity(request.mask) if request.mask else None
    return [*file_identity(request.uri), request.mpp, mask]
