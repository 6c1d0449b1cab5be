"""Folders and files that operating systems and tools create: trash, thumbnails, checkpoints."""

from __future__ import annotations

import re

# In lower case. A system creates each of them by itself; nobody keeps slides or films there.
_FOLDERS = frozenset(
    {
        "__macosx", ".trashes", ".appledouble", ".spotlight-v100", ".fseventsd",  # macOS
        "$recycle.bin", "recycler", "system volume information",  # Windows
        ".trash", ".thumbnails", "lost+found",  # Linux
        "@eadir", "#recycle", "#snapshot",  # Synology
        "@recycle", ".@__thumb", "@recently-snapshot",  # QNAP
        ".ipynb_checkpoints",  # Jupyter
        "thumbnails",  # slide viewers and picture browsers
    }
)  # fmt: skip
# A Linux desktop makes one trash folder for each user id.
_NUMBERED_TRASH = re.compile(r"\.trash-\d+")
_FILES = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"})


def is_clutter(name: str) -> bool:
    r"""Return whether a file is clutter, judged by its name and by the names of its folders.

    Args:
      name: path relative to the user's input, with ``/`` or ``\`` between its parts.
    """
    return clutter_in(name) is not None


def clutter_in(name: str) -> str | None:
    """Return the folder or file that makes a file clutter; None if nothing does.

    Args:
      name: path as in `is_clutter`.
    """
    *folders, base = re.split(r"[/\\]", name)
    for folder in folders:
        if is_clutter_folder(folder):
            return folder
    return base if is_clutter_file(base) else None


def is_clutter_file(name: str) -> bool:
    """Return whether a system creates files of this name (a name without a path)."""
    # macOS stores metadata in files that begin with "._" if a file system cannot hold it.
    return name.lower() in _FILES or name.startswith("._")


def is_clutter_folder(name: str) -> bool:
    """Return whether a system creates folders of this name (a name without a path)."""
    lowered = name.lower()
    return lowered in _FOLDERS or _NUMBERED_TRASH.fullmatch(lowered) is not None
