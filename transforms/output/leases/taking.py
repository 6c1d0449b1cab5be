"""Take a lease, or learn who holds it."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.output.leases.lease_file import (
    EVERYTHING,
    KEPT,
    Lease,
    LeaseKey,
    encoded,
    folder_of,
    highest,
    number_of,
    path_of,
    silent_seconds,
    with_beat,
    write,
)
from beamscope.transforms.output.share import exclude_each_other, share_of_slot
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.scratch import started

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


def take(key: LeaseKey, lease: Lease) -> int:
    """Take a lease, and return its number.

    Raises:
      InputError: ``already_running``: another job holds it, or one that excludes it.
    """
    _wait_for_others(key, lease)
    number = _take_own(key, lease)
    try:
        _wait_for_others(key, lease)
    except InputError:
        write(key, number, Lease(key.token, released=True))
        raise
    return number


def _take_own(key: LeaseKey, lease: Lease) -> int:
    while True:
        number, present = highest(key)
        if number and present.token == key.token:
            # The same job on a cluster, whose runner will refuse it if the job is still there.
            return number
        if number:
            _wait_until_free(key, number, present, lease)
        if files.create_if_absent(path_of(key, number + 1), encoded(with_beat(lease))):
            found = files.list_files(folder_of(key), recursive=False)
            files.delete([one.path for one in found if number_of(one.path) <= number])
            return number + 1


def _wait_for_others(key: LeaseKey, own: Lease) -> None:
    """Return when no lease is held that excludes this one; stale ones are then released.

    Raises:
      InputError: ``already_running``.
    """
    folder = files.join(key.root, WORK_DIRECTORY, "lease", "")
    found = (file.path.removeprefix(folder).split("/")[0] for file in files.list_files(folder))
    slots = {slot for slot in found if exclude_each_other(key.slot, slot, EVERYTHING)}
    others = [dataclasses.replace(key, slot=slot) for slot in sorted(slots)]
    if not others:
        return
    # All at a time: of a hundred machines that are gone each is watched for a minute.
    with ThreadPoolExecutor(len(others)) as watchers:
        deque(watchers.map(lambda other: _end_if_stale(other, own), others), 0)


def _end_if_stale(key: LeaseKey, own: Lease) -> None:
    number, present = highest(key)
    if not number or present.released:
        return
    _wait_until_free(key, number, present, own)
    if not files.create_if_absent(path_of(key, number + 1), encoded(Lease(released=True))):
        # Its own part has been begun again meanwhile.
        _end_if_stale(key, own)
        return
    files.delete([path_of(key, number)])


def _wait_until_free(key: LeaseKey, number: int, present: Lease, own: Lease) -> None:
    """Return when a lease is released or stale.

    Raises:
      InputError: ``already_running``.
    """
    if present.released or (present.run and present.run == own.run):
        return
    who, since = present.who or "another job", present.since or "an unknown time"
    share = share_of_slot(key.slot)
    what = f"part {share} of it" if share is not None else "it"
    refusal = InputError(
        Kind.ALREADY_RUNNING,
        f"--output {key.root}: {who} is writing {what} since {since}"
        f"; `beamscope status {key.root}` shows its progress",
    )
    if present.machine and present.machine == own.machine and not present.by_workers:
        if _is_alive(present.process) and not _is_left_over(present):
            raise refusal
        return
    wait = present.quiet_seconds - silent_seconds(key, number)
    if wait <= 0:
        return
    _log.warning(
        "--output %s: %s began to write it at %s. Waiting for up to %.0f s whether it still does",
        key.root, who, since, wait,
    )  # fmt: skip
    until = time.monotonic() + wait
    while time.monotonic() < until:
        time.sleep(min(_LOOK_SECONDS, wait))
        now, lease = highest(key)
        if lease.released:
            return
        if (now, lease.beat) != (number, present.beat):
            raise refusal


def _is_left_over(lease: Lease) -> bool:
    """Return whether this process wrote a lease and no longer keeps it: it could not release it."""
    return lease.process[0] == os.getpid() and lease.token not in KEPT


def _is_alive(process: tuple[int, str]) -> bool:
    number, since = process
    return bool(since) and started(number) == since
