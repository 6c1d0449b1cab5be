"""Merge the items requested now with those that an existing output was begun with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.terminal.say import note
from beamscope.transforms.output.claim import has_embeddings
from beamscope.transforms.output.layout import WORK_DIRECTORY, file_name, plan_of
from beamscope.transforms.output.requests_file import read_requests
from beamscope.transforms.output.run_record import find_run_record
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

_log = logging.getLogger(__name__)

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
    try:
        before = _before(job, root)
    except DamagedError as error:
        _check_nothing_dropped(job, root, now, only_these=only_these)
        _log.warning("damaged: %s; it is made again from this command", error)
        return list(now)
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
        note(f"{changed:,} {job.items} keep what an earlier start assumed for them")
    return kept


def not_asked_for(job: Job, now: Sequence[Any], before: Sequence[Any]) -> list[Any]:
    """Return the items that were requested before and are not requested now."""
    asked = {request.id: request for request in now}
    return [
        request
        for request in before
        if request.id not in asked or not job.same_item(request, asked[request.id])
    ]


def _check_nothing_dropped(job: Job, root: str, now: Sequence[Any], *, only_these: bool) -> None:
    """Check, where it is not known what was requested before, that nothing planned is left out.

    Raises:
      InputError: ``dropped_items``: the output has plans of items that are not requested now.
    """
    if only_these or not has_embeddings(root):
        return
    asked = {file_name(request.id) for request in now}
    plans = {plan_of(file.path) for file in files.list_files(files.join(root, WORK_DIRECTORY))}
    lost = sorted(plans - asked - {None}, key=str)
    if lost:
        named = ", ".join(map(str, lost[:_NAMED])) + (", …" if len(lost) > _NAMED else "")
        raise InputError(
            Kind.DROPPED_ITEMS,
            f"--output {root}: .beamscope/requests.json is damaged, and {len(lost):,} {job.items} "
            f"that have a plan there are not requested now ({named}). Request them too, or give "
            "--only_these to drop them",
        )


def _before(job: Job, root: str) -> list[Any]:
    try:
        record = find_run_record(root)
    except DamagedError:
        # `claim_output` says so, and makes it again.
        return read_requests(root, job.request_type)
    if record is None or record.job != job.name:
        return []
    return read_requests(root, job.request_type)
