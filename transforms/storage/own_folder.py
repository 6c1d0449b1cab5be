"""Folders of this user's own in the temporary directory, which is everyone's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def own_folder(name: str) -> Path:
    """Where this user's folder of a name is; it need not be there."""
    return Path(tempfile.gettempdir()) / f"beamscope-{name}-{os.getuid()}"


def make_own(folder: Path) -> None:
    """Makes a folder that nobody else can write to, or makes sure that one is.

    Raises:
      InputError: ``unsafe_folder`` where it is another user's, a link, or open to others, who could
        then say what is read from it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise InputError(Kind.UNSAFE_FOLDER, f"{folder} can be written by others: remove it first")
