"""Sum up a source and each of its blocks: rows and problems, from its plan and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.joined_parts import joined_problems, lacking_counts, read_block
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.parts import parts_in_order
from beamscope.transforms.problems import Problem
from beamscope.transforms.sources.image_reading import ImageReading
from beamscope.transforms.sources.planning.plan_file import read_outline

PROBLEMS_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("member", pa.string()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)


def check_parts(layout: Layout, source_id: str, parts: Iterable[PartRef]) -> list[PartRef]:
    """Return the parts of a source in their order.

    Raises:
      ValueError: they are not exactly those of its plan.
    """
    plan = read_outline(layout.plan(source_id))
    return parts_in_order(source_id, parts, plan.block_sizes)


def source_outcome(layout: Layout, source_id: str, reading: ImageReading) -> ItemOutcome:
    """Sum up a source before any image of it was read: its problems, and files that are no images.

    An archive that is broken has a row of its own, without a member.
    """
    plan = read_outline(layout.plan(source_id))
    problems = (*plan.archive_problems, *plan.problems)
    rows = [_failed(problem, reading) for problem in problems]
    counts = {f"left_out_{reason}": n for reason, n in plan.skipped.items()}
    return ItemOutcome(source_id, _table(rows, reading), problems, (), 0, counts)


def block_outcome(layout: Layout, part: PartRef, reading: ImageReading) -> ItemOutcome:
    """Sum up the images of one block, embedded ones and failed ones.

    An image of which only some of several models have an embedding is ``partial``.
    """
    names = [name for name in _row_schema(reading).names if name not in ("status", "reason")]
    columns = [column for column, _ in layout.embeddings]
    rows: list[dict[str, Any]] = [
        {**row, "status": "done"}
        for batch in read_block(part.paths, columns)
        for row in batch.select(names).to_pylist()
    ]
    problems = tuple(joined_problems(layout, part))
    rows = _with_failed(rows, problems, reading)
    return ItemOutcome(
        f"{part.key.item_id}#{part.key.index:06d}",
        _table(rows, reading),
        problems,
        part.paths if part.embedded else (),
        part.embedded,
        ({f"left_out_{reading.unwanted}": part.left_out} if part.left_out else {})
        | lacking_counts(layout, [part]),
    )


def _with_failed(
    rows: Sequence[dict[str, Any]], problems: Sequence[Problem], reading: ImageReading
) -> list[dict[str, Any]]:
    """Return the rows of embedded images, then one for each other image that has a problem."""
    all_rows = list(rows)
    places = {(row["source"], row["member"]): place for place, row in enumerate(rows)}
    for problem in problems:
        failed = _failed(problem, reading)
        place = places.get((failed["source"], failed["member"]))
        if place is None:
            places[failed["source"], failed["member"]] = len(all_rows)
            all_rows.append(failed)
        elif all_rows[place]["status"] == "done":
            all_rows[place] |= {"status": "partial", "reason": failed["reason"]}
    return all_rows


def _failed(problem: Problem, reading: ImageReading) -> dict[str, Any]:
    known = None if problem.member is None else reading.find(problem.uri, problem.member)
    return {
        "image_id": problem.item_id,
        "source": problem.uri,
        "member": problem.member,
        "status": "failed",
        "reason": f"{problem.kind}: {problem.message}",
        **reading.known_columns(known),
    }


def _table(rows: Sequence[dict[str, Any]], reading: ImageReading) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), _row_schema(reading))


def _row_schema(reading: ImageReading) -> pa.Schema:
    """Return the table of images without the shard, which only the assembled dataset knows."""
    return reading.table.remove(reading.table.get_field_index("shard"))
