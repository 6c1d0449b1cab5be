"""The outcome of a slide: its row, its problems and its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.joined_parts import joined_problems, lacking_counts
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.parts import parts_in_order
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.picture import mark_failed
from beamscope.transforms.slides.planning.caption import captioned
from beamscope.transforms.slides.planning.plan import EmptyPlan, FailedPlan, OpenedPlan, SlidePlan
from beamscope.transforms.slides.planning.plan_file import read_picture, read_plan
from beamscope.transforms.slides.planning.sampled_planner import NOT_SAMPLED
from beamscope.transforms.slides.tissue.quality import REASONS
from beamscope.transforms.storage import files

TABLE_SCHEMA = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("vendor", pa.string()),
        pa.field("width_level0", pa.int64()),
        pa.field("height_level0", pa.int64()),
        pa.field("mpp_x", pa.float64()),
        pa.field("mpp_y", pa.float64()),
        pa.field("mpp_source", pa.string()),
        pa.field("level", pa.int32()),
        pa.field("downsample", pa.float64()),
        pa.field("read_px", pa.int32()),
        pa.field("reader", pa.string()),
        pa.field("mpp_requested", pa.float64()),
        pa.field("mpp_level", pa.float64()),
        pa.field("mpp_effective", pa.float64()),
        pa.field("patches_planned", pa.int64(), nullable=False),
        pa.field("patches_embedded", pa.int64(), nullable=False),
        pa.field("patches_failed", pa.int64(), nullable=False),
        pa.field("shard", pa.int32()),
    ]
)
_ROW_SCHEMA = TABLE_SCHEMA.remove(TABLE_SCHEMA.get_field_index("shard"))


def slide_outcome(
    layout: Layout, slide_id: str, parts: Iterable[PartRef], plan: SlidePlan | None = None
) -> ItemOutcome:
    """Sum a slide up, and mark the patches that failed on its picture.

    Args:
      layout: paths of the dataset.
      slide_id: id of the slide.
      parts: its parts, in any order.
      plan: the slide's plan or an outline of it; None to read its file.

    Raises:
      ValueError: the parts are not exactly those of the plan.
    """
    plan = plan or read_plan(layout.plan(slide_id))
    ordered = parts_in_order(slide_id, parts, plan.block_sizes())
    problems = [plan.problem] if isinstance(plan, FailedPlan) else []
    for part in ordered:
        problems.extend(joined_problems(layout, part))
    lacking = lacking_counts(layout, ordered)
    _mark_picture(layout, plan, problems)
    embedded = sum(part.embedded for part in ordered)
    return ItemOutcome(
        slide_id,
        pa.RecordBatch.from_pylist([_row(plan, embedded, problems, lacking)], _ROW_SCHEMA),
        tuple(problems),
        tuple(path for part in ordered if part.embedded for path in part.paths),
        embedded,
        _left_out(plan) | lacking,
    )


def _left_out(plan: SlidePlan) -> dict[str, int]:
    """Return how many patches were left out for their quality, by reason, and by a sample."""
    funnel = plan.funnel if isinstance(plan, OpenedPlan) else {}
    steps = (*REASONS, NOT_SAMPLED)
    return {f"patches_{step}": funnel[step] for step in steps if step in funnel}


def _row(
    plan: SlidePlan, embedded: int, problems: list[Problem], lacking: Mapping[str, int]
) -> dict[str, object]:
    status, reason = _status(plan, embedded, problems, lacking)
    return {
        "slide_id": plan.slide_id,
        "uri": plan.uri,
        "status": status,
        "reason": reason,
        **_known(plan),
        "patches_planned": plan.patches,
        "patches_embedded": embedded,
        "patches_failed": plan.patches - embedded,
    }


def _known(plan: SlidePlan) -> dict[str, object]:
    """Return the columns that say what a slide is and how it is read; those not known are null."""
    columns: dict[str, object] = {}
    if isinstance(plan, FailedPlan | OpenedPlan):
        columns |= dataclasses.asdict(plan.facts) if plan.facts else {}
        if plan.mpp:
            columns |= {"mpp_x": plan.mpp.x, "mpp_y": plan.mpp.y, "mpp_source": plan.mpp.source}
    if isinstance(plan, OpenedPlan):
        read = plan.read
        scaled = "_scaled" if read.downscale == "decoder" else ""
        columns |= {
            "level": read.level,
            "downsample": read.downsample,
            "read_px": read.read_px,
            "reader": plan.reader + scaled,
            "mpp_requested": read.mpp_requested,
            "mpp_level": read.mpp_level,
            "mpp_effective": read.mpp_effective,
        }
    return columns


def _status(
    plan: SlidePlan, embedded: int, problems: list[Problem], lacking: Mapping[str, int]
) -> tuple[str, str | None]:
    if isinstance(plan, FailedPlan):
        return "failed", f"{plan.problem.kind}: {plan.problem.message}"
    if isinstance(plan, EmptyPlan):
        return "empty", plan.reason
    if embedded == plan.patches and not lacking:
        return "done", None
    first = f"{problems[0].kind}: {problems[0].message}"
    if embedded == plan.patches:
        return "partial", f"{_listed(lacking)} of {plan.patches} patches; first {first}"
    if embedded:
        return "partial", f"{plan.patches - embedded} of {plan.patches} patches; first {first}"
    return "failed", f"not one of {plan.patches} patches; first {first}"


def _listed(lacking: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ', 1)} {rows}" for name, rows in lacking.items())


def _mark_picture(layout: Layout, plan: SlidePlan, problems: list[Problem]) -> None:
    corners = [(p.x_level0, p.y_level0) for p in problems if p.x_level0 is not None]
    picture = read_picture(layout, plan) if corners else None
    if picture is not None and isinstance(plan, OpenedPlan):
        x_level0, y_level0 = np.array(corners, np.int64).T
        marked = mark_failed(picture, x_level0, y_level0, plan.read.size_level0)
        shown = dataclasses.replace(picture, jpeg=marked)
        content = captioned(shown, plan, failed=len(corners))
        files.write_bytes(layout.picture(plan.slide_id), content)
