"""What lies in the place of a model's file where a download went wrong, by its first bytes."""

from __future__ import annotations

from pathlib import Path

_READ = 32
# What a file begins with, in lower case -> what it is, and what to do.
_BY_START = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the model: run git lfs pull",
    b"<!doctype": "is a web page: download the model itself",
    b"<html": "is a web page: download the model itself",
}


def stand_in(path: Path) -> str | None:
    """Return what a file is instead of a part of a model, and what to do; None for any other."""
    with path.open("rb") as file:
        start = file.read(_READ).lower()
    return next((what for known, what in _BY_START.items() if start.startswith(known)), None)
