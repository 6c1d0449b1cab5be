"""The lease on an output: one job at a time writes it, and others learn who does.

A lease is a file, ``.beamscope/lease/000007.json``; the one with the highest number counts. Whoever
holds it writes it again every few seconds, with another beat. A job that finds a lease takes over
by creating the next number, which only one of several can (`files.create_if_absent`). The highest
file is never deleted, so that no number comes twice; at the end of a job it is marked as released,
and no longer says who held it.

No clocks are compared. A lease is stale when its beat does not change while another watches, for
as long as the lease itself says. A process of this machine is looked up instead, and a store is
asked how long ago, by its own time, the lease was written. Of jobs on a cluster the workers write
the beat too, while they work: they need not lose the lease when the process that submitted them is
gone.

Machines that share an output on purpose hold leases in folders of their own (`slot`), one for each
share of the work. The shares of one count can be held at once; a job without shares, and shares of
another count, cannot be held with them. Whoever takes a lease looks before and after for those that
exclude it, so that of two that begin at once one sees the other, or each the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import getpass
import hashlib
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.output.share import exclude_each_other, share_of_slot
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, JobStoppedError, one_line
from beamscope.transforms.storage import files
from beamscope.transforms.storage.scratch import machine_id, started

_log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
# How long a lease may stay without a beat. Workers of a cluster may be waited for.
QUIET_SECONDS = 60.0
QUIET_ON_CLUSTER = 300.0
QUIET_BEFORE_WORKERS = 1200.0
_LOOK_SECONDS = 0.5
EVERYTHING = "all"


@dataclasses.dataclass(frozen=True)
class LeaseKey:
    """What the workers of a job need to know of its lease.

    Attributes:
      root: the output directory.
      token: of the lease, a secret of the job.
      by_workers: whether the workers write the beat; where they are of the process that holds the
        lease, it does.
      detached: whether nobody waits for the job, so that its last worker releases the lease.
      slot: the folder of the lease.
    """

    root: str
    token: str
    by_workers: bool = False
    detached: bool = False
    slot: str = EVERYTHING


@dataclasses.dataclass(frozen=True)
class _Lease:
    """A lease as it is written; see `Holder` for its values."""

    token: str = ""
    released: bool = False
    run: str = ""
    who: str = ""
    since: str = ""
    machine: str = ""
    process: tuple[int, str] = (0, "")
    by_workers: bool = False
    quiet_seconds: float = QUIET_SECONDS
    beat: str = ""


def is_lease(path: str) -> bool:
    """Return whether a file is a lease."""
    return f"/{WORK_DIRECTORY}/lease/" in path


class HeldLease:
    """A lease that this process holds, and keeps alive in a thread until it is released."""

    def __init__(self, key: LeaseKey, number: int, lease: _Lease) -> None:
        self.key = key
        self._number = number
        self._lease = lease
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    @property
    def left(self) -> bool:
        """Return whether this process no longer keeps the lease."""
        return self._ended.is_set()

    def release(self) -> None:
        """Let others write the output."""
        self.leave()
        with contextlib.suppress(OSError):
            if _highest(self.key)[0] == self._number:
                _write(self.key, self._number, _Lease(self.key.token, released=True))

    def leave(self) -> None:
        """Write no further beat, but do not release: a cluster has taken over."""
        self._ended.set()
        self._thread.join()
        _kept.discard(self.key.token)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                number, _ = _highest(self.key)
                if number != self._number:
                    _stop_this_process(self.key)
                    return
                _write(self.key, number, _with_beat(self._lease))
            except OSError as error:
                _log.info("the lease cannot be kept: %s", one_line(error))


_lost: set[LeaseKey] = set()
# Tokens of the leases that this process keeps.
_kept: set[str] = set()


def _stop_this_process(key: LeaseKey) -> None:
    _lost.add(key)
    # A signal also ends what the main thread waits for.
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def held(
    root: str,
    run: str,
    *,
    token: str = "",
    by_workers: bool = False,
    detached: bool = False,
    quiet_seconds: float = QUIET_SECONDS,
    process: int = 0,
    slot: str = EVERYTHING,
) -> Iterator[HeldLease]:
    """Hold the lease on an output while the body runs, and release it unless the body has left it.

    Args:
      root: the output directory.
      run: the run that this process belongs to; a process of the same run takes the lease over.
      token: of the lease; a job that has the same one shares it. A new one by default.
      by_workers: whether the job's workers write the beat too, and may outlive this process.
      detached: whether nobody waits for the job.
      quiet_seconds: how long the lease stays without a beat.
      process: that lives as long as the job, on this machine; this one by default.
      slot: the folder of the lease.

    Raises:
      InputError: ``already_running``: another job is writing the output.
      JobStoppedError: another job took the lease over, since this process was silent for too long.
      OSError: the lease cannot be written.
    """
    key = LeaseKey(root, token or uuid.uuid4().hex, by_workers, detached, slot)
    process = process or os.getpid()
    lease = _Lease(
        key.token,
        run=run,
        who=_who(),
        since=datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
        machine=machine_id(),
        process=(process, started(process)),
        by_workers=by_workers,
        quiet_seconds=quiet_seconds,
    )
    _kept.add(key.token)
    try:
        held_lease = HeldLease(key, _take(key, lease), lease)
    except BaseException:
        _kept.discard(key.token)
        raise
    try:
        yield held_lease
    except KeyboardInterrupt as error:
        if key in _lost:
            raise JobStoppedError(_TAKEN_OVER.format(root)) from error
        raise
    finally:
        if not held_lease.left:
            held_lease.release()


_TAKEN_OVER = (
    "{}: another start took over, since this one gave no sign of life; what is done is kept"
)


def check_lease(key: LeaseKey | None) -> None:
    """Check that no other job has taken a lease over.

    Raises:
      JobStoppedError: another job holds it.
    """
    if key is None:
        return
    _, lease = _highest(key)
    if lease.token != key.token and not lease.released:
        raise JobStoppedError(_TAKEN_OVER.format(key.root))


def release(key: LeaseKey | None) -> None:
    """Release a lease at the end of a job that nobody waits for."""
    if key is not None and key.detached:
        number, lease = _highest(key)
        if lease.token == key.token:
            _write(key, number, _Lease(key.token, released=True))


@contextlib.contextmanager
def kept_by_work(key: LeaseKey | None) -> Iterator[None]:
    """Keep a lease alive from a worker while the body runs.

    Raises:
      JobStoppedError: another job has taken it over.
    """
    begin_work(key)
    try:
        yield
    finally:
        end_work(key)


def begin_work(key: LeaseKey | None) -> None:
    """Keep a lease alive from this process until `end_work`; may be called more than once.

    Raises:
      JobStoppedError: another job has taken it over.
    """
    if key is not None and key.by_workers:
        _BEATS.begin(key)


def end_work(key: LeaseKey | None) -> None:
    """Say that what was begun has ended."""
    if key is not None and key.by_workers:
        _BEATS.end(key)


class _WorkersBeats:
    """The beats that a process writes while it works for a job on a cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working: dict[LeaseKey, int] = {}
        self._threads: set[tuple[int, LeaseKey]] = set()

    def begin(self, key: LeaseKey) -> None:
        if key in _lost:
            raise JobStoppedError(_TAKEN_OVER.format(key.root))
        with self._lock:
            self._working[key] = self._working.get(key, 0) + 1
            if (os.getpid(), key) not in self._threads:
                self._threads.add((os.getpid(), key))
                thread = threading.Thread(target=self._keep, args=[key], daemon=True, name="lease")
                thread.start()

    def end(self, key: LeaseKey) -> None:
        with self._lock:
            self._working[key] = max(0, self._working.get(key, 0) - 1)

    def _keep(self, key: LeaseKey) -> None:
        while True:
            if self._working.get(key):
                with contextlib.suppress(OSError):
                    number, lease = _highest(key)
                    if lease.token != key.token and not lease.released:
                        _lost.add(key)
                        return
                    if lease.token == key.token and not lease.released:
                        quiet = min(lease.quiet_seconds, QUIET_ON_CLUSTER)
                        kept = dataclasses.replace(lease, quiet_seconds=quiet)
                        _write(key, number, _with_beat(kept))
            time.sleep(BEAT_SECONDS)


_BEATS = _WorkersBeats()


def _take(key: LeaseKey, lease: _Lease) -> int:
    """Take the lease, and return its number."""
    _wait_for_others(key, lease)
    number = _take_own(key, lease)
    try:
        _wait_for_others(key, lease)
    except InputError:
        _write(key, number, _Lease(key.token, released=True))
        raise
    return number


def _take_own(key: LeaseKey, lease: _Lease) -> int:
    while True:
        number, present = _highest(key)
        if number and present.token == key.token:
            # The same job on a cluster, whose runner will refuse it if the job is still there.
            return number
        if number:
            _wait_until_free(key, number, present, lease)
        if files.create_if_absent(_path(key, number + 1), _encoded(_with_beat(lease))):
            found = files.list_files(_folder(key), recursive=False)
            files.delete([one.path for one in found if _number(one.path) <= number])
            return number + 1


def _wait_for_others(key: LeaseKey, own: _Lease) -> None:
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


def _end_if_stale(key: LeaseKey, own: _Lease) -> None:
    number, present = _highest(key)
    if not number or present.released:
        return
    _wait_until_free(key, number, present, own)
    if not files.create_if_absent(_path(key, number + 1), _encoded(_Lease(released=True))):
        # Its own part has been begun again meanwhile.
        _end_if_stale(key, own)
        return
    files.delete([_path(key, number)])


def _wait_until_free(key: LeaseKey, number: int, present: _Lease, own: _Lease) -> None:
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
    wait = present.quiet_seconds - _silent_seconds(key, number)
    if wait <= 0:
        return
    _log.warning(
        "--output %s: %s began to write it at %s. Waiting for up to %.0f s whether it still does",
        key.root, who, since, wait,
    )  # fmt: skip
    until = time.monotonic() + wait
    while time.monotonic() < until:
        time.sleep(min(_LOOK_SECONDS, wait))
        now, lease = _highest(key)
        if lease.released:
            return
        if (now, lease.beat) != (number, present.beat):
            raise refusal


def _silent_seconds(key: LeaseKey, number: int) -> float:
    """Return how long ago a store has written a lease, by its own time; 0 where that is unknown.

    The times of a disk may be those of several machines.
    """
    if files.is_local(key.root):
        return 0.0
    probe = files.join(_folder(key), f"now-{uuid.uuid4().hex}")
    files.write_bytes(probe, b"")
    try:
        return files.stat(probe).modified - files.stat(_path(key, number)).modified
    except FileNotFoundError:
        return 0.0
    finally:
        files.delete([probe])


def _highest(key: LeaseKey) -> tuple[int, _Lease]:
    """Return the number of the lease that counts, and the lease; 0 where there is none."""
    while True:
        found = files.list_files(_folder(key), recursive=False)
        number = max((_number(file.path) for file in found), default=0)
        if not number:
            return 0, _Lease(released=True)
        try:
            data = files.read_bytes(_path(key, number))
        except FileNotFoundError:
            continue  # The next one has been created meanwhile.
        try:
            values = json.loads(data)
            return number, _Lease(**{**values, "process": tuple(values["process"])})
        except (ValueError, TypeError, KeyError):
            # Damaged: nobody can tell whose it is, but it may still be kept alive.
            beat = hashlib.sha256(data).hexdigest()
            return number, _Lease(beat=beat, quiet_seconds=QUIET_SECONDS)


def _write(key: LeaseKey, number: int, lease: _Lease) -> None:
    files.write_bytes(_path(key, number), _encoded(lease))


def _encoded(lease: _Lease) -> bytes:
    values: dict[str, Any] = dataclasses.asdict(lease)
    return json.dumps(values).encode()


def _with_beat(lease: _Lease) -> _Lease:
    return dataclasses.replace(lease, beat=uuid.uuid4().hex)


def _folder(key: LeaseKey) -> str:
    return files.join(key.root, WORK_DIRECTORY, "lease", key.slot)


def _path(key: LeaseKey, number: int) -> str:
    return files.join(_folder(key), f"{number:06d}.json")


def _number(path: str) -> int:
    name = path.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isdecimal() else 0


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user} on {socket.gethostname()} (process {os.getpid()})"


def _is_left_over(lease: _Lease) -> bool:
    """Return whether this process wrote a lease and no longer keeps it: it could not release it."""
    return lease.process[0] == os.getpid() and lease.token not in _kept


def _is_alive(process: tuple[int, str]) -> bool:
    number, since = process
    return bool(since) and started(number) == since
