"""Merge the items requested now with those that an existing output was begun with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from beamscope.pipelines.jobs.job import Job
from beamscope.transforms.output.claim import has_embeddings
from beamscope.transforms.output.requests_file import read_requests
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_NAMED = 3


def merged_requests(
    job: Job, root: str, now: Sequence[Any], *, add: bool, only_these: bool
) -> list[Any]:
    """Return the items that the dataset must hold.

    Args:
      job: the job.
      root: the output directory, which may hold work of earlier starts.
      now: the items requested now.
      add: keep the items of the output that are not requested now.
      only_these: drop them.

    Raises:
      InputError: ``dropped_items`` if the output holds items that are not requested now, and
        neither flag is given; ``duplicate_id`` if two sources have the same id.
    """
    before = _before(job, root)
    if has_embeddings(root):
        now = _with_kept(job, before, now)
    missing = not_asked_for(job, now, before)
    if not missing or only_these or not has_embeddings(root):
        return list(now)
    if not add:
        ids = [request.id for request in missing]
        named = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
        raise InputError(
            Kind.DROPPED_ITEMS,
            f"--output {root}: holds {len(ids):,} {job.items} that are not requested now "
            f"({named}). Give --add to keep them, or --only_these to drop them",
        )
    asked = {request.id for request in now}
    for request in missing:
        if request.id in asked:
            raise InputError(
                Kind.DUPLICATE_ID,
                f"--output {root}: two of the {job.items} have the id {request.id!r}, one in the "
                "output and one requested now. Embed them into two outputs, or request both at "
                "once",
            )
    return sorted([*now, *missing], key=lambda request: str(request.id))


def _with_kept(job: Job, before: Sequence[Any], now: Sequence[Any]) -> list[Any]:
    """Return the requests of now with what is kept of those before, and say what is kept."""
    earlier = {request.id: request for request in before}
    kept = [
        job.kept(earlier[request.id], request) if request.id in earlier else request
        for request in now
    ]
    changed = sum(one != other for one, other in zip(kept, now, strict=True))
    if changed:
        print(f"{changed:,} {job.items} keep what an earlier start assumed for them",
              file=sys.stderr)  # fmt: skip
    return kept


def not_asked_for(job: Job, now: Sequence[Any], before: Sequence[Any]) -> list[Any]:
    """Return the items that were requested before and are not requested now."""
    asked = {request.id: request for request in now}
    return [
        request
        for request in before
        if request.id not in asked or not job.same_item(request, asked[request.id])
    ]


def _before(job: Job, root: str) -> list[Any]:
    record = read_run_record(root)
    if record is None or record.job != job.name:
        return []
    return read_requests(root, job.request_type)
