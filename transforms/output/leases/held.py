"""Hold a lease in a process: write its beat, and notice when another job takes it over."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import logging
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator

from beamscope.transforms.output.leases.lease_file import (
    BEAT_SECONDS,
    EVERYTHING,
    KEPT,
    LOST,
    QUIET_SECONDS,
    TAKEN_OVER,
    Lease,
    LeaseKey,
    highest,
    with_beat,
    write,
)
from beamscope.transforms.output.leases.taking import take
from beamscope.transforms.problems import JobStoppedError, one_line
from beamscope.transforms.storage.scratch import machine_id, started

_log = logging.getLogger(__name__)


class HeldLease:
    """A lease that this process holds, and keeps alive in a thread until it is released."""

    def __init__(self, key: LeaseKey, number: int, lease: Lease) -> None:
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
            if highest(self.key)[0] == self._number:
                write(self.key, self._number, Lease(self.key.token, released=True))

    def leave(self) -> None:
        """Write no further beat, but do not release: a cluster has taken over."""
        self._ended.set()
        self._thread.join()
        KEPT.discard(self.key.token)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                number, _ = highest(self.key)
                if number != self._number:
                    _stop_this_process(self.key)
                    return
                write(self.key, number, with_beat(self._lease))
            except OSError as error:
                _log.info("the lease cannot be kept: %s", one_line(error))


def _stop_this_process(key: LeaseKey) -> None:
    LOST.add(key)
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
    lease = Lease(
        key.token,
        run=run,
        who=_who(),
        since=datetime.datetime.now().astimezone().isoformat(" ", "seconds"),
        machine=machine_id(),
        process=(process, started(process)),
        by_workers=by_workers,
        quiet_seconds=quiet_seconds,
    )
    KEPT.add(key.token)
    try:
        held_lease = HeldLease(key, take(key, lease), lease)
    except BaseException:
        KEPT.discard(key.token)
        raise
    try:
        yield held_lease
    except KeyboardInterrupt as error:
        if key in LOST:
            raise JobStoppedError(TAKEN_OVER.format(root)) from error
        raise
    finally:
        if not held_lease.left:
            held_lease.release()


def check_lease(key: LeaseKey | None) -> None:
    """Check that no other job has taken a lease over.

    Raises:
      JobStoppedError: another job holds it.
    """
    if key is None:
        return
    _, lease = highest(key)
    if lease.token != key.token and not lease.released:
        raise JobStoppedError(TAKEN_OVER.format(key.root))


def release(key: LeaseKey | None) -> None:
    """Release a lease at the end of a job that nobody waits for."""
    if key is not None and key.detached:
        number, lease = highest(key)
        if lease.token == key.token:
            write(key, number, Lease(key.token, released=True))


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user} on {socket.gethostname()} (process {os.getpid()})"
