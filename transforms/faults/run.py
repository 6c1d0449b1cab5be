"""The run: what its processes have in common, and how they tell the one that supervises them."""

from __future__ import annotations

import contextlib
import os

# Set by pipelines/supervisor.py for all processes of a run, restarted ones included.
RUN = "BEAMSCOPE_RUN"
# A pipe to the supervisor, as a path that any process of the run can open.
REPORTS = "BEAMSCOPE_REPORTS"
BEGUN, ENDED = b"b", b"e"
# The status of a process that its watchdog has ended.
HUNG = 86

_told: set[tuple[int, bytes]] = set()


def run_id() -> str:
    """Return the id of the run that this process belongs to; a new one where none supervises it."""
    return os.environ.get(RUN) or os.urandom(8).hex()


def tell(what: bytes) -> None:
    """Tell the supervisor, where there is one, that this process has begun or ended some step."""
    path = os.environ.get(REPORTS)
    if path is None or (os.getpid(), what) in _told:
        return
    _told.add((os.getpid(), what))
    # The supervisor may be gone, and then nobody needs to know.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, what)
        finally:
            os.close(descriptor)
