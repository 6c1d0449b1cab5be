"""Folders of this user's own in the temporary directory, which every user can write to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def own_folder(name: str) -> Path:
    """Return the path of this user's folder of a name; the folder may not exist yet."""
    return Path(tempfile.gettempdir()) / f"beamscope-{name}-{os.getuid()}"


def make_own(folder: Path) -> None:
    """Make a folder that nobody else can write to, or check that an existing one is such.

    Raises:
      InputError: ``unsafe_folder`` where the folder is another user's, a link, or open to others,
        who could then change what is read from it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise InputError(Kind.UNSAFE_FOLDER, f"{folder} can be written by others: remove it first")
