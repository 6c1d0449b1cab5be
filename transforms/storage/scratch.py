"""Folders in the temporary directory, by whose names those of killed processes are found."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "beamscope-scratch"


def machine_id() -> str:
    """Return an id of this machine since it was started, by which processes are numbered.

    It is empty where that cannot be told.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return hashlib.sha256(f"{boot}{numbers}".encode()).hexdigest()[:16]


def started(process: int) -> str:
    """Return when a process was started, so that another one of its number is not taken for it.

    It is empty where there is no such process.
    """
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    fields = status.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def scratch_prefix() -> str:
    """Return how the name of a scratch folder of this process begins.

    By it, `delete_left_over` finds the folder when the process has been killed.
    """
    process = os.getpid()
    return f"{_PREFIX}-{machine_id()}-{process}-{started(process)}-"


def delete_left_over() -> None:
    """Delete the scratch folders of processes of this machine and user that are dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        machine, process, since = folder.name.removeprefix(f"{_PREFIX}-").split("-")[:3]
        if machine != machine_id() or not (machine and since and process.isdecimal()):
            continue
        if started(int(process)) != since and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
