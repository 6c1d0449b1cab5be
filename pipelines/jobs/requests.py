"""What a start on an output that exists is to hold: what is asked for now, and what was before."""

from __future__ import annotations

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
    """Return what the dataset of an output is to hold.

    Args:
      job: which.
      root: the output directory, which may hold work of earlier starts.
      now: what is asked for now.
      add: keep what the output holds and is not asked for now.
      only_these: drop it.

    Raises:
      InputError: ``dropped_items`` where the output holds something that is not asked for now, and
        no flag says what is to become of it; ``duplicate_id`` where two sources have one id.
    """
    missing = not_asked_for(job, now, _before(job, root))
    if not missing or only_these or not has_embeddings(root):
        return list(now)
    if not add:
        ids = [request.id for request in missing]
        named = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
        raise InputError(
            Kind.DROPPED_ITEMS,
            f"--output {root}: holds {len(ids):,} {job.items} that are not asked for now "
            f"({named}). --add keeps them beside the new ones, --only_these drops them",
        )
    asked = {request.id for request in now}
    for request in missing:
        if request.id in asked:
            raise InputError(
                Kind.DUPLICATE_ID,
                f"--output {root}: {request.id!r} is the id of one of the {job.items} there and of "
                "another one that is asked for now; embed them into two outputs, or name both at "
                "once",
            )
    return sorted([*now, *missing], key=lambda request: str(request.id))


def not_asked_for(job: Job, now: Sequence[Any], before: Sequence[Any]) -> list[Any]:
    """Return what was asked for before and is not now."""
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
