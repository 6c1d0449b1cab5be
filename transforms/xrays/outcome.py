"""Sum up a source and each of its blocks: rows and problems, from its plan and its parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.parts import parts_in_order, read_part, read_part_problems
from beamscope.transforms.problems import Problem
from beamscope.transforms.xrays.catalogs.catalog import Catalog
from beamscope.transforms.xrays.planning.plan_file import read_outline
from beamscope.transforms.xrays.settings import XraySettings
from beamscope.transforms.xrays.sources import film_path

TABLE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("member", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("origin", pa.string()),
        pa.field("photometric", pa.string()),
        pa.field("grey_scale", pa.string()),
        pa.field("grey_scale_ignored", pa.string()),
        pa.field("modality", pa.string()),
        pa.field("view_position", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("study_id", pa.string()),
        pa.field("in_catalog", pa.bool_(), nullable=False),
        pa.field("shard", pa.int32()),
    ]
)
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
_ROW_SCHEMA = TABLE_SCHEMA.remove(TABLE_SCHEMA.get_field_index("shard"))


def check_parts(layout: Layout, source_id: str, parts: Iterable[PartRef]) -> list[PartRef]:
    """Return the parts of a source in their order.

    Raises:
      ValueError: they are not exactly those of its plan.
    """
    plan = read_outline(layout.plan(source_id))
    return parts_in_order(source_id, parts, plan.block_sizes)


def source_outcome(layout: Layout, source_id: str, catalog: Catalog | None) -> ItemOutcome:
    """Sum up a source before any film of it was read: its problems, and files that are no films.

    An archive that is broken has a row of its own, without a member.
    """
    plan = read_outline(layout.plan(source_id))
    problems = (*plan.archive_problems, *plan.problems)
    rows = [_failed(problem, catalog) for problem in problems]
    counts = {f"left_out_{reason}": n for reason, n in plan.skipped.items()}
    return ItemOutcome(source_id, _table(rows), problems, (), 0, counts)


def block_outcome(part: PartRef, catalog: Catalog | None) -> ItemOutcome:
    """Sum up the films of one block, embedded ones and failed ones."""
    names = [name for name in _ROW_SCHEMA.names if name not in ("status", "reason")]
    rows: list[dict[str, Any]] = [
        {**row, "status": "done"}
        for batch in read_part(part.path)
        for row in batch.select(names).to_pylist()
    ]
    problems = tuple(read_part_problems(part.path)) if part.failed else ()
    rows.extend(_failed(problem, catalog) for problem in problems)
    return ItemOutcome(
        f"{part.key.item_id}#{part.key.index:06d}",
        _table(rows),
        problems,
        (part.path,) if part.embedded else (),
        part.embedded,
        {"left_out_other_view": part.left_out} if part.left_out else {},
    )


def catalog_counts(images: pa.Table, settings: XraySettings) -> dict[str, int]:
    """Count which films are in the catalogue, and which of its rows have a film; empty without one.

    ``in_catalog`` and ``not_in_catalog`` are films, failed ones included; ``catalog_rows`` are all
    rows of the catalogue, and ``catalog_rows_without_film`` those of the views asked for.
    """
    catalog = settings.load_catalog()
    if catalog is None:
        return {}
    films = images.filter(pc.is_valid(images["member"]))
    matched = films.filter(films["in_catalog"])
    # By the path, since a film that failed while it was planned has no id of the catalogue's.
    places = zip(matched["source"].to_pylist(), matched["member"].to_pylist(), strict=True)
    found = (catalog.find(film_path(source, member)) for source, member in places)
    image_ids = [row.image_id for row in found if row]
    return {
        "in_catalog": matched.num_rows,
        "not_in_catalog": films.num_rows - matched.num_rows,
        "catalog_rows": len(catalog),
        "catalog_rows_without_film": catalog.count_without(image_ids, settings.films.views),
    }


def explain_no_match(images: pa.Table, settings: XraySettings) -> str | None:
    """Say that no film at all is in the catalogue, with a film and a key to compare.

    Returns:
      one sentence; None where a film is in the catalogue, or there is no film or no catalogue.
    """
    catalog = settings.load_catalog()
    films = images.filter(pc.is_valid(images["member"]))
    if catalog is None or not films.num_rows or pc.any(films["in_catalog"]).as_py():
        return None
    path = film_path(films["source"][0].as_py(), films["member"][0].as_py())
    key = catalog.first_key()
    compared = f"keys are like {key!r}" if key is not None else "it has no rows"
    return (
        f"none of {films.num_rows:,} films is in the catalogue: {compared}, films are like {path!r}"
    )


def _failed(problem: Problem, catalog: Catalog | None) -> dict[str, Any]:
    known = None
    if catalog is not None and problem.member is not None:
        known = catalog.find(film_path(problem.uri, problem.member))
    return {
        "image_id": problem.item_id,
        "source": problem.uri,
        "member": problem.member,
        "status": "failed",
        "reason": f"{problem.kind}: {problem.message}",
        "view_position": known and known.view_position,
        "patient_id": known and known.patient_id,
        "study_id": known and known.study_id,
        "in_catalog": known is not None,
    }


def _table(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), _ROW_SCHEMA)
