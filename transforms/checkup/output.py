"""Check a place for an output: whether it can be reached, written, read and deleted from."""

from __future__ import annotations

import uuid

from beamscope.transforms.checkup.checks import Check
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files

_CONTENT = b"beamscope doctor\n"


def output_check(root: str) -> Check:
    """Write a small file, read it and delete it, and say what the place holds.

    A directory that does not exist is made, and is deleted again if nothing is in it.
    """
    path = files.join(root, WORK_DIRECTORY, f"doctor-{uuid.uuid4().hex}")
    step = "listed"
    try:
        files.list_files(root, recursive=False)
        step = "written"
        files.write_bytes(path, _CONTENT)
        step = "read"
        same = files.read_bytes(path) == _CONTENT
        step = "deleted"
        files.delete([path])
        _tidy(root)
        held = _holds(root)
    except (InputError, OSError) as error:
        return Check(
            "output", "failed", f"{root}: nothing can be {step}: {one_line(error)}",
            "check its name, your rights and your credentials",
        )  # fmt: skip
    if not same:
        return Check("output", "failed", f"{root}: gives back other bytes than were written")
    return Check("output", "ok", f"{root}: can be listed, written, read and deleted from; {held}")


def _holds(root: str) -> str:
    record = read_run_record(root)
    if record is None:
        return "it holds no job"
    state = "a finished dataset" if read_description(root) is not None else "unfinished work"
    return f"it holds {state} of `beamscope {record.job}`"


def _tidy(root: str) -> None:
    """Remove the directories that the file was written into, if they are empty and local."""
    if not files.is_local(root):
        return
    for folder in (files.local_path(files.join(root, WORK_DIRECTORY)), files.local_path(root)):
        try:
            folder.rmdir()
        except OSError:
            return
