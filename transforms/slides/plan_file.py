"""A slide's plan as a file, so that no slide is planned, or fetched, twice."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import pyarrow as pa

from transforms import files
from transforms.output.layout import Layout
from transforms.problems import Problem
from transforms.slides.picture import Picture
from transforms.slides.plan import SlidePlan
from transforms.slides.resolution import ReadPlan, SlideMpp
from transforms.slides.sources import SlideRequest

_HEADER = b"beamscope.plan"
_ARRAYS = ("x_level0", "y_level0", "tissue")


def write_plan(layout: Layout, request: SlideRequest, plan: SlidePlan) -> None:
    """Writes a plan and its picture; the plan, which a resume looks for, last."""
    header = {
        field.name: getattr(plan, field.name)
        for field in dataclasses.fields(plan)
        if field.name not in (*_ARRAYS, "picture")
    }
    header["identity"] = _identity(request)
    header["patches"] = plan.patches
    if plan.picture is not None:
        files.write_bytes(layout.plan_picture(plan.slide_id), plan.picture.jpeg)
        header["picture"] = dataclasses.replace(plan.picture, jpeg=b"")
    table = pa.table({name: getattr(plan, name) for name in _ARRAYS})
    encoded = json.dumps(header, default=_to_json).encode()
    schema = table.schema.with_metadata({_HEADER: encoded})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        files.atomic_path(layout.plan(plan.slide_id)) as temporary,
        pa.ipc.new_stream(temporary, schema, options=options) as stream,
    ):
        stream.write_table(table.replace_schema_metadata(schema.metadata))


def read_plan(path: str) -> SlidePlan:
    """The plan of a file, without the JPEG of its picture."""
    with files.open_read(path) as file, pa.ipc.open_stream(file) as stream:
        header = json.loads(stream.schema.metadata[_HEADER])
        table = stream.read_all()
    del header["identity"], header["patches"]
    for name, kind in (("problem", Problem), ("mpp", SlideMpp), ("read", ReadPlan)):
        header[name] = kind(**header[name]) if header[name] is not None else None
    picture = header.pop("picture", None)
    arrays = {name: table.column(name).to_numpy() for name in _ARRAYS}
    return SlidePlan(
        **header, **arrays, picture=Picture(jpeg=b"", **picture) if picture is not None else None
    )


def planned_patches(path: str) -> int:
    """How many patches the plan of a file has, from its header alone."""
    return int(_read_header(path)["patches"])


def read_picture(layout: Layout, plan: SlidePlan) -> Picture | None:
    """The picture of a plan that was read from its file."""
    if plan.picture is None:
        return None
    jpeg = files.read_bytes(layout.plan_picture(plan.slide_id))
    return dataclasses.replace(plan.picture, jpeg=jpeg)


def find_plan(layout: Layout, request: SlideRequest) -> SlidePlan | None:
    """The plan that an earlier start left for a slide, where it still holds.

    It does not when the slide failed then, for the cause may be gone; nor when the user names
    another file, resolution or mask for it now, or the size of either file has changed.
    """
    path = layout.plan(request.slide_id)
    if not files.exists(path):
        return None
    header = _read_header(path)
    if header["problem"] is not None or header["identity"] != _identity(request):
        return None
    return read_plan(path)


def _read_header(path: str) -> dict[str, Any]:
    with files.open_read(path) as file, pa.ipc.open_stream(file) as stream:
        header: dict[str, Any] = json.loads(stream.schema.metadata[_HEADER])
    return header


def _identity(request: SlideRequest) -> dict[str, Any]:
    return {
        "uri": _absolute(request.uri),
        "bytes": _size(request.uri),
        "mpp": request.mpp,
        "mask": _absolute(request.mask) if request.mask else None,
        "mask_bytes": _size(request.mask) if request.mask else None,
    }


def _absolute(uri: str) -> str:
    return os.path.abspath(uri) if files.is_local(uri) else uri  # noqa: PTH100 (keeps links)


def _size(uri: str) -> int | None:
    try:
        return files.size(uri)
    except OSError:
        return None


def _to_json(value: Any) -> Any:
    if isinstance(value, Picture):
        return {"x_level0": value.x_level0, "y_level0": value.y_level0, "scale": value.scale}
    return dataclasses.asdict(value)
