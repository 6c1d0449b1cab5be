"""What the plan of a source of images says about it."""

from __future__ import annotations

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.sources.planning.plan_file import read_plan
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.storage import files


def planned_source(layout: Layout, request: Source) -> PlannedItem:
    """Return what the plan of a source says about it.

    Of an archive, what is to be read is what its images take there. A tar.gz is read whole, and
    before that nobody knows how many images it has.
    """
    plan = read_plan(layout.plan(request.id))
    problems = (*plan.archive_problems, *plan.problems)
    stored = sum(member.stored for member in plan.members)
    if request.kind == "tgz":
        try:
            stored = files.size(request.uri)
        except OSError:
            stored = 0
    candidates = len(plan.members) + len(plan.problems) + sum(plan.skipped.values())
    steps = {**plan.skipped, "unreadable": len(plan.problems), "taken": len(plan.members)}
    return PlannedItem(
        request.id,
        request.uri,
        rows=sum(plan.block_sizes) if plan.known else None,
        blocks=len(plan.block_sizes) if plan.known else None,
        failed=bool(plan.archive_problems) and not plan.block_sizes,
        kind=problems[0].kind if problems else None,
        message=problems[0].message if problems else None,
        funnel={"candidates": candidates, **steps} if plan.known else {},
        stored_bytes=stored,
        read_bytes=stored,
    )
