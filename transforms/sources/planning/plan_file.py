"""The plan of a source of images as a file."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

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
from beamscope.transforms.problems import Problem
from beamscope.transforms.sources.archives.members import Member
from beamscope.transforms.sources.planning.plan import SourcePlan
from beamscope.transforms.sources.sources import Source, is_remote, join, list_directory
from beamscope.transforms.storage import files

_MEMBER_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64()),
        pa.field("name", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("stored", pa.int64()),
        pa.field("deflated", pa.bool_()),
        pa.field("crc", pa.int64()),
    ]
)


def write_plan(layout: Layout, plan: SourcePlan, drawn: Mapping[str, Any] | None = None) -> None:
    """Write the plan of a source.

    Args:
      layout: paths of the dataset.
      plan: the plan.
      drawn: what the header says besides of a sample in total, see `drawn.drawn_now`.
    """
    header, table = _encoded(plan)
    sealed = {**header, **(drawn or {}), "digest": _digest(plan, header, table)}
    write_plan_file(layout.plan(plan.source.id), sealed, table)


def digest_of_plan(plan: SourcePlan) -> str:
    """Return the digest that the file of a plan has.

    The films of a tar.gz are known only when it has been read, but its parts are written before:
    for them the archive is what counts.
    """
    return _digest(plan, *_encoded(plan))


def _digest(plan: SourcePlan, header: dict[str, Any], table: pa.Table) -> str:
    if plan.source.kind == "tgz":
        return content_digest(header["identity"])
    return content_digest(header, table)


def _encoded(plan: SourcePlan) -> tuple[dict[str, Any], pa.Table]:
    header = {
        field.name: getattr(plan, field.name)
        for field in dataclasses.fields(plan)
        if field.name != "members"
    }
    header |= {"identity": source_identity(plan.source), "skipped": dict(plan.skipped)}
    rows = [dataclasses.asdict(member) for member in plan.members]
    return header, pa.Table.from_pylist(rows, _MEMBER_SCHEMA)


def read_plan(path: str) -> SourcePlan:
    """Read the plan of a source."""
    return _as_plan(*read_plan_file(path))


def read_outline(path: str) -> SourcePlan:
    """Read a plan without its members, from the header of its file."""
    return _as_plan(read_plan_header(path), _MEMBER_SCHEMA.empty_table())


def _as_plan(header: dict[str, Any], members: pa.Table) -> SourcePlan:
    source = header["source"]
    return SourcePlan(
        Source(**{**source, "names": tuple(source["names"])}),
        tuple(Member(**row) for row in members.to_pylist()),
        tuple(header["block_sizes"]),
        tuple(Problem(**problem) for problem in header["problems"]),
        tuple(Problem(**problem) for problem in header["archive_problems"]),
        header["skipped"],
        header["known"],
    )


def glance(plan: PlanFile) -> PlanGlance:
    """Return how many images a plan has, and whether the source failed, from its header alone.

    Of a tar.gz that has not been read, the number is not known.
    """
    header = read_plan_header(plan)
    if not header["known"]:
        return PlanGlance(None)
    rows = sum(header["block_sizes"])
    return PlanGlance(rows, failed=bool(header["archive_problems"]) and not rows)


def find_plan(layout: Layout, source: Source) -> SourcePlan | None:
    """Return the plan that an earlier start left for a source, where it still holds.

    It does not hold where nothing of the source could be used then, since the cause may be gone;
    nor where the source is another now by its `source_identity`.

    Raises:
      DamagedError: the file is not what was written.
    """
    path = layout.plan(source.id)
    if not files.exists(path):
        return None
    header, members = read_plan_file(path)
    return _as_plan(header, members) if header_holds(header, source) else None


def header_holds(
    header: Mapping[str, Any],
    source: Source,
    seen: Mapping[str, files.FileInfo | None] | None = None,
) -> bool:
    """Return whether a plan still holds, from the header of its file.

    Args:
      header: of the plan's file.
      source: which source.
      seen: as `source_identity` takes it.
    """
    unusable = header["archive_problems"] and not header["block_sizes"]
    return not unusable and header["identity"] == source_identity(source, seen)


def earlier_plan(layout: Layout, source: Source) -> SourcePlan | None:
    """Return the plan that an earlier start left of a directory, or of loose images.

    It may not hold any more. There is None of an archive, which `replan` would not look at.
    """
    path = layout.plan(source.id)
    return read_plan(path) if not source.is_archive and files.exists(path) else None


def source_identity(
    source: Source, seen: Mapping[str, files.FileInfo | None] | None = None
) -> list[Any]:
    """Return a value that changes when a source is no longer the one that a plan was made from.

    It has the place and the size of an archive; of a directory and of loose images, the name and
    size of every file; of loose images in a bucket the names alone: each size would be a request.

    Args:
      source: which source.
      seen: sources that have been looked at already, by uri, where the version of what is no
        archive is its `listing_digest`; others are asked for.
    """
    if source.is_archive:
        return file_identity(source.uri, seen)
    known = seen.get(source.uri) if seen is not None else None
    return [source.uri, known.version if known is not None else listing_digest(source)]


def listing_digest(source: Source) -> str:
    """Return a digest of the names and sizes of the files of a directory, or of loose images."""
    found = (
        # A folder that may not be opened is a problem of the plan, and no reason to end here.
        list_directory(source.uri, lambda _error: None)
        if source.kind == "directory"
        else [(name, _size(join(source.uri, name))) for name in source.names]
    )
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _size(uri: str) -> int | None:
    return None if is_remote(uri) else file_identity(uri)[1]
