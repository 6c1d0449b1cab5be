"""The file of a lease: what it says, and which of several counts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from typing import Any

from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.storage import files

BEAT_SECONDS = 10.0
# How long a lease may stay without a beat. Workers of a cluster may be waited for.
QUIET_SECONDS = 60.0
QUIET_ON_CLUSTER = 300.0
QUIET_BEFORE_WORKERS = 1200.0
EVERYTHING = "all"

TAKEN_OVER = (
    "{}: another start took over, since this one gave no sign of life; what is done is kept"
)


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
class Lease:
    """A lease as it is written.

    Attributes:
      token: a secret of the job.
      released: whether nobody holds it.
      run: the run that holds it; a process of the same run takes it over.
      who: the user, machine and process that hold it, for people.
      since: when it was taken, for people.
      machine: id of the machine that holds it.
      process: the process that holds it, and when that was started.
      by_workers: whether workers write the beat too.
      quiet_seconds: how long it may stay without a beat.
      beat: another text each time that it is written.
    """

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


# Leases that this process has lost to another, and tokens of those that it keeps.
LOST: set[LeaseKey] = set()
KEPT: set[str] = set()


def is_lease(path: str) -> bool:
    """Return whether a file is a lease."""
    return f"/{WORK_DIRECTORY}/lease/" in path


def highest(key: LeaseKey) -> tuple[int, Lease]:
    """Return the number of the lease that counts, and the lease; 0 where there is none."""
    while True:
        found = files.list_files(folder_of(key), recursive=False)
        number = max((number_of(file.path) for file in found), default=0)
        if not number:
            return 0, Lease(released=True)
        try:
            data = files.read_bytes(path_of(key, number))
        except FileNotFoundError:
            continue  # The next one has been created meanwhile.
        try:
            values = json.loads(data)
            return number, Lease(**{**values, "process": tuple(values["process"])})
        except (ValueError, TypeError, KeyError):
            # Damaged: nobody can tell whose it is, but it may still be kept alive.
            beat = hashlib.sha256(data).hexdigest()
            return number, Lease(beat=beat, quiet_seconds=QUIET_SECONDS)


def write(key: LeaseKey, number: int, lease: Lease) -> None:
    """Write a lease under its number."""
    files.write_bytes(path_of(key, number), encoded(lease))


def encoded(lease: Lease) -> bytes:
    """Return what is written."""
    values: dict[str, Any] = dataclasses.asdict(lease)
    return json.dumps(values).encode()


def with_beat(lease: Lease) -> Lease:
    """Return a lease with another beat."""
    return dataclasses.replace(lease, beat=uuid.uuid4().hex)


def folder_of(key: LeaseKey) -> str:
    """Return the folder of a lease's files."""
    return files.join(key.root, WORK_DIRECTORY, "lease", key.slot)


def path_of(key: LeaseKey, number: int) -> str:
    """Return the path of the lease with a number."""
    return files.join(folder_of(key), f"{number:06d}.json")


def number_of(path: str) -> int:
    """Return the number of a lease, by its path; 0 for other files."""
    name = path.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isdecimal() else 0


def silent_seconds(key: LeaseKey, number: int) -> float:
    """Return how long ago a store has written a lease, by its own time; 0 where that is unknown.

    The times of a disk may be those of several machines.
    """
    if files.is_local(key.root):
        return 0.0
    probe = files.join(folder_of(key), f"now-{uuid.uuid4().hex}")
    files.write_bytes(probe, b"")
    try:
        return files.stat(probe).modified - files.stat(path_of(key, number)).modified
    except FileNotFoundError:
        return 0.0
    finally:
        files.delete([probe])
