"""Kill jobs at random moments, resume them, and compare with an undisturbed run."""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from beamscope.transforms.output.layout import part_name
from beamscope.transforms.storage import files
from tests.faults.job_test import make_folders, start

_TEMPORARY = re.compile(r"\.beamscope-tmp$|^beamscope-scratch-")
FOLDERS = {name: [str(10 * place + n) for n in range(6)] for place, name in enumerate("abcd")}
# Seconds that pictures take to read, so that kills meet blocks at work.
SLOW = "0.1"


@dataclasses.dataclass
class Killed:
    """What came of one output that was killed again and again.

    Attributes:
      kills: how many processes were killed at work.
      parts: finished blocks at the moment of each kill.
    """

    kills: int
    parts: list[int]


def kill_and_resume(
    root: Path, output: str, seed: int, *, kills: int, flags: Sequence[str]
) -> Killed:
    """Kill the job `kills` times, the resumed ones too, and let the last resume end.

    Args:
      root: folder of the input and of a temporary directory.
      output: where the job writes.
      seed: of the moments.
      kills: how often.
      flags: of the job.
    """
    chosen = random.Random(seed)
    known: set[str] = set()
    found = []
    killed = 0
    for _ in range(kills):
        process = start(root, "--output", output, *flags, start_new_session=True)
        try:
            _wait_at_random(chosen, root, process)
        finally:
            with_group = process.poll() is None
            if with_group:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
            process.communicate()
        log = root / "in" / "read.log"
        read = log.read_text().split() if log.exists() else []
        parts = set(_blocks(output))
        # No block that was finished when a process died is read by a later one.
        assert not [block for block in read if block in known], (seed, read, known)
        log.unlink(missing_ok=True)
        known |= parts
        found.append(len(parts))
        if not with_group:
            break
    process = start(root, "--output", output, *flags)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, (seed, said)
    assert "Traceback" not in said, (seed, said)
    log = root / "in" / "read.log"
    read = log.read_text().split() if log.exists() else []
    assert not [block for block in read if block in known], (seed, read, known)
    return Killed(killed, found)


def _wait_at_random(chosen: random.Random, root: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the job has begun to work and a random while longer; now and then less long."""
    deadline = time.monotonic() + 120
    early = chosen.random() < 0.2
    patience = chosen.uniform(0, 6) if early else 120
    begun = time.monotonic()
    while process.poll() is None and time.monotonic() < min(deadline, begun + patience):
        if (root / "in" / "read.log").exists():
            time.sleep(chosen.uniform(0, 2.5))
            return
        time.sleep(0.02)


def _blocks(output: str) -> Iterator[str]:
    """The finished blocks of an output, as the log of what was read names them."""
    for file in files.list_files(f"{output}/.beamscope"):
        name = part_name(file.path)
        if name is not None and "/parts/" in file.path:
            yield f"{file.path.split('/')[-3]}[{name[0]}]"


def dataset(output: str) -> dict[str, bytes]:
    """The files of a dataset but for its description, which has the time, and its work."""
    found = {}
    for file in files.list_files(output):
        name = file.path.removeprefix(f"{output}/")
        if not name.startswith(".beamscope/") and name != "dataset.json":
            found[name] = files.read_bytes(file.path)
    return found


def left_over(*folders: str) -> list[str]:
    """The temporary files and records of tries in folders of this machine."""
    return [
        str(path)
        for folder in folders
        for path in Path(folder).rglob("*")
        if _TEMPORARY.search(path.name)
        or ("tries" in path.parts and path.is_file() and path.name != "lock")
    ]


def prepare(root: Path) -> None:
    """Make the input of a job that takes some seconds, and a temporary directory of its own."""
    make_folders(root, FOLDERS)
    (root / "tmp").mkdir()
    os.environ["TMPDIR"] = str(root / "tmp")
    os.environ["HOSTILE_SLOW"] = SLOW
    tempfile.tempdir = None
