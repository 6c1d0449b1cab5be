"""The directory of what beamscope keeps for a user between commands."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "BEAMSCOPE_CACHE"


def cache_directory() -> Path:
    """Return the directory of fetched runners, measured rates and compiled models.

    It is ``$BEAMSCOPE_CACHE``, or else ``beamscope`` in the user's cache directory.
    """
    if directory := os.environ.get(CACHE_VARIABLE):
        return Path(directory)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "beamscope"
