"""What a slide's plan says about it, from the header of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.output.plans import PlanFile, read_plan_header
from beamscope.transforms.slides.requests import SlideRequest

# Of a pyramid whose levels are each four times as coarse as the one before, level 0 has this part.
_FULL_LEVEL = 15 / 16
# Patches at the edges of tiles read some tiles in part.
_EDGES = 1.15


def planned_slide(request: SlideRequest, plan: PlanFile) -> PlannedItem:
    """Return what the plan of a slide says about it, from its header."""
    header = read_plan_header(plan)
    problem = header.get("problem")
    patches = header["patches"]
    size = header["identity"][1]
    return PlannedItem(
        request.slide_id,
        request.uri,
        rows=patches,
        blocks=-(-patches // header["block_size"]) if patches else 0,
        failed=problem is not None,
        kind=problem["kind"] if problem else None,
        message=problem["message"] if problem else header.get("reason"),
        funnel=header.get("funnel") or {},
        poor=header.get("poor") or {},
        stored_bytes=size,
        read_bytes=_bytes_to_read(header, patches, size) if patches else 0,
    )


def _bytes_to_read(header: Mapping[str, Any], patches: int, size: int | None) -> int | None:
    """Return about how many bytes of a slide its patches are: by their part of the level's area."""
    if size is None:
        return None
    read, facts = header["read"], header["facts"]
    area = patches * (read["read_px"] * read["downsample"]) ** 2 * _EDGES
    part = min(1.0, area / (facts["width_level0"] * facts["height_level0"]))
    return round(size * _FULL_LEVEL / read["downsample"] ** 2 * part)
