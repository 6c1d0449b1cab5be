"""Folders and files that systems leave beside a person's own: trash, thumbnails, checkpoints."""

from __future__ import annotations

import re

# Lower case. Each is what one system makes by itself: nobody keeps slides or films there.
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
    r"""Return whether a file is clutter, by its own name or by a folder that it lies in.

    Args:
      name: relative to what the user named, with ``/`` or ``\`` between its parts.
    """
    return clutter_in(name) is not None


def clutter_in(name: str) -> str | None:
    """Return the folder, or the file, that makes a file clutter; None where nothing does.

    Args:
      name: as of `is_clutter`.
    """
    *folders, base = re.split(r"[/\\]", name)
    for folder in folders:
        if is_clutter_folder(folder):
            return folder
    return base if is_clutter_file(base) else None


def is_clutter_file(name: str) -> bool:
    """Return whether a file of that name, without a path, is a system's own."""
    # macOS keeps what other file systems cannot hold in files that begin with "._".
    return name.lower() in _FILES or name.startswith("._")


def is_clutter_folder(name: str) -> bool:
    """Return whether a folder of that name, without a path, is a system's own."""
    lowered = name.lower()
    return lowered in _FOLDERS or _NUMBERED_TRASH.fullmatch(lowered) is not None
