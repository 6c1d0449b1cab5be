"""A slide's plan as a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import google_crc32c
import pyarrow as pa

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plans import (
    PlanFile,
    content_digest,
    file_identity,
    read_plan_file,
    read_plan_header,
    write_plan_file,
)
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.patches.drawn import DRAWN
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.picture import Picture
from beamscope.transforms.slides.planning.plan import (
    EmptyPlan,
    FailedPlan,
    OpenedPlan,
    OutlinedPlan,
    ReadyPlan,
    SlideFacts,
    SlidePlan,
)
from beamscope.transforms.slides.planning.resolution import SlideMpp, is_enlarged, is_plausible
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from beamscope.transforms.storage.remote_source import RemoteSource

_KINDS = {"failed": FailedPlan, "empty": EmptyPlan, "ready": ReadyPlan}
_VALUES = {"problem": Problem, "facts": SlideFacts, "mpp": SlideMpp, "read": ReadPlan}
# Columns of the table, which a plan without patches has too.
_ARRAYS = {"x_level0": pa.int32(), "y_level0": pa.int32(), "tissue": pa.float32()}
_PICTURE_CRC = "picture_crc32c"
_CLASSES = "classes"  # a column of text, null throughout where there are none


def write_plan(
    layout: Layout,
    request: SlideRequest,
    plan: SlidePlan,
    drawn: Mapping[str, Any] | None = None,
) -> None:
    """Write a plan and its picture; the plan, which a resume looks for, last.

    Args:
      layout: paths of the dataset.
      request: which slide.
      plan: its plan.
      drawn: what the header says besides of a sample in total, see `drawn.drawn_now`.
    """
    picture = plan_picture(plan)
    if picture is not None:
        files.write_bytes(layout.plan_picture(plan.slide_id), picture.jpeg)
    header, patches = _encoded(request, plan)
    sealed = {**header, **(drawn or {}), "digest": content_digest(header, patches)}
    write_plan_file(layout.plan(plan.slide_id), sealed, patches)


def digest_of_plan(request: SlideRequest, plan: SlidePlan) -> str:
    """Return the digest that the file of a plan has."""
    return content_digest(*_encoded(request, plan))


def _encoded(request: SlideRequest, plan: SlidePlan) -> tuple[dict[str, Any], pa.Table]:
    header: dict[str, Any] = {
        "kind": next(name for name, kind in _KINDS.items() if isinstance(plan, kind)),
        "identity": request_identity(request),
        "patches": plan.patches,
    }
    for field in dataclasses.fields(plan):
        if field.name not in (*_ARRAYS, _CLASSES):
            header[field.name] = getattr(plan, field.name)
    picture = plan_picture(plan)
    if picture is not None:
        place = [picture.x_level0, picture.y_level0, picture.scale]
        header["picture"] = [*place, picture.dark, picture.overlapping]
        header[_PICTURE_CRC] = google_crc32c.value(picture.jpeg)
    columns = {name: pa.array(getattr(plan, name, []), kind) for name, kind in _ARRAYS.items()}
    classes = getattr(plan, _CLASSES, None) or [None] * plan.patches
    return header, pa.table(columns | {_CLASSES: pa.array(classes, pa.string())})


def read_plan(path: str) -> SlidePlan:
    """Read the plan of a file, without the JPEG of its picture."""
    return _as_plan(*read_plan_file(path))


def _as_plan(header: Mapping[str, Any], patches: pa.Table | None) -> SlidePlan:
    """Return a plan; without its table, the outline of one that has patches."""
    values = dict(header)
    kind: type[SlidePlan] = _KINDS[values.pop("kind")]
    del values["identity"]
    count = values.pop("patches")
    for name in (_PICTURE_CRC, DRAWN):
        values.pop(name, None)
    for name, value_type in _VALUES.items():
        if values.get(name) is not None:
            values[name] = value_type(**values[name])
    if values.get("picture") is not None:
        values["picture"] = Picture(b"", *values["picture"])
    if kind is ReadyPlan and patches is None:
        kind = OutlinedPlan
        values["count"] = count
    elif kind is ReadyPlan and patches is not None:
        values |= {name: patches.column(name).to_numpy() for name in _ARRAYS}
        classes = patches.column(_CLASSES)
        if classes.null_count < len(classes):
            values[_CLASSES] = tuple(classes.to_pylist())
    return kind(**values)


def plan_picture(plan: SlidePlan) -> Picture | None:
    """Return the picture of a plan; None where the slide was not seen."""
    return plan.picture if isinstance(plan, ReadyPlan | OutlinedPlan | EmptyPlan) else None


def glance(plan: PlanFile) -> PlanGlance:
    """Return how many patches a plan has, and whether the slide failed, from its header alone."""
    header = read_plan_header(plan)
    return PlanGlance(header["patches"], header.get("problem") is not None)


def read_picture(layout: Layout, plan: SlidePlan) -> Picture | None:
    """Read the picture of a plan that was read from its file; None where it has none.

    Raises:
      DamagedError: the picture is not what was written; it names the plan, which has to be made
        again.
    """
    picture = plan_picture(plan)
    if picture is None:
        return None
    path = layout.plan(plan.slide_id)
    try:
        jpeg = files.read_bytes(layout.plan_picture(plan.slide_id))
    except FileNotFoundError as error:
        raise DamagedError(path, "its picture is missing") from error
    if read_plan_header(path).get(_PICTURE_CRC) != google_crc32c.value(jpeg):
        raise DamagedError(path, "its picture does not have its checksum")
    return dataclasses.replace(picture, jpeg=jpeg)


def find_plan(
    layout: Layout, request: SlideRequest, settings: SlideSettings | None = None
) -> SlidePlan | None:
    """Find the plan that an earlier start left for a slide, where it still holds.

    It does not hold when the slide failed then, because the cause may be gone; when the user names
    another file, resolution or mask for it now; when the size of either file has changed; when a
    remote slide that is read by ranges has been written anew; or when it was let in by a setting
    that is not given now.

    Args:
      layout: paths of the dataset.
      request: which slide.
      settings: for what they permit; None where the plan's directory belongs to them alone.

    Raises:
      DamagedError: the file is not what was written.
    """
    path = layout.plan(request.slide_id)
    if not files.exists(path):
        return None
    header, patches = read_plan_file(path)
    if header["identity"] != request_identity(request):
        return None
    plan = _as_plan(header, patches)
    if isinstance(plan, FailedPlan) or not _is_permitted(plan, request, settings):
        return None
    return None if _is_replaced(plan) else plan


def _is_permitted(plan: SlidePlan, request: SlideRequest, settings: SlideSettings | None) -> bool:
    """Return whether the request and the settings let in a slide as it was planned."""
    if not isinstance(plan, OpenedPlan):
        return True
    if plan.mpp.source == "assumed" and plan.mpp.x != request.assume_mpp:
        return False
    return settings is None or (
        (settings.allow_implausible_mpp or is_plausible(plan.mpp))
        and (settings.allow_upsampling or not is_enlarged(plan.read))
        and (settings.tissue != "mask" or settings.otsu_without_mask or request.mask is not None)
    )


def _is_replaced(plan: SlidePlan) -> bool:
    if not isinstance(plan, OpenedPlan) or plan.version is None:
        return False
    try:
        RemoteSource(plan.uri, plan.version)
    except InputError:
        return True
    return False


def request_identity(
    request: SlideRequest, seen: Mapping[str, files.FileInfo | None] | None = None
) -> list[Any]:
    """Return what a plan is made from: slide and mask with their sizes, and the given mpp.

    Args:
      request: which slide.
      seen: files that have been looked at already, by uri; others are asked for.
    """
    mask = file_identity(request.mask, seen) if request.mask else None
    return [*file_identity(request.uri, seen), request.mpp, mask]


def header_holds(
    header: Mapping[str, Any],
    request: SlideRequest,
    settings: SlideSettings,
    seen: Mapping[str, files.FileInfo | None],
) -> bool:
    """Return whether `find_plan` would find the plan with a header, without asking for any file.

    Args:
      header: of the plan's file.
      request: which slide.
      settings: for what they permit.
      seen: the slide and its mask as they are now, by uri.
    """
    if header["identity"] != request_identity(request, seen):
        return False
    plan = outline_of(header)
    if isinstance(plan, FailedPlan) or not _is_permitted(plan, request, settings):
        return False
    if not isinstance(plan, OpenedPlan) or plan.version is None:
        return True
    there = seen.get(plan.uri)
    return there is not None and there.version == plan.version


def outline_of(header: Mapping[str, Any]) -> SlidePlan:
    """Return a plan without the places of its patches, from the header of its file."""
    own = {name: value for name, value in header.items() if name not in ("place", "digest")}
    return _as_plan(own, None)
