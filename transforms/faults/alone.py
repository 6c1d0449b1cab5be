"""Working alone: a lock of this machine that many may share, or one may have for itself.

What may end the process is done alone, so that its end takes nothing else along. The lock is the
kernel's own, and is free again however its holder ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.leases.lease_file import EVERYTHING
from beamscope.transforms.storage import files, local_disk
from beamscope.transforms.storage.own_folder import make_own, own_folder


class Hold:
    """A held lock; `release` may be called more than once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let others have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def among_others(layout: Layout, slot: str = EVERYTHING) -> Hold:
    """Wait until nobody on this machine works alone on a dataset, and keep it so.

    Args:
      layout: paths of the dataset.
      slot: of the job's lease. Jobs that share an output have processes of their own, so that none
        waits for another; on a network file system a lock may hold for all of its machines.
    """
    return _hold(layout, slot, fcntl.LOCK_SH)


def alone(layout: Layout, slot: str = EVERYTHING) -> Hold:
    """Wait until nobody on this machine works on a dataset, and keep it so.

    The caller must hold nothing itself, or it waits for ever.

    Args:
      layout: paths of the dataset.
      slot: as for `among_others`.
    """
    return _hold(layout, slot, fcntl.LOCK_EX)


def _hold(layout: Layout, slot: str, how: int) -> Hold:
    # Each call opens the file anew: locks belong to the opened file, so threads have one each.
    with local_disk.writing(Path(layout.tries)):
        descriptor = os.open(_lock_file(layout, slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return Hold(descriptor)


def _lock_file(layout: Layout, slot: str) -> Path:
    name = "lock" if slot == EVERYTHING else f"lock-{slot}"
    if files.is_local(layout.root):
        path = Path(files.join(layout.tries, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
    folder = own_folder("locks")
    make_own(folder)
    return folder / hashlib.sha256(files.join(layout.tries, name).encode()).hexdigest()[:16]
