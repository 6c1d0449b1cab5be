"""The error for an archive that is damaged as a whole."""

from __future__ import annotations

from beamscope.transforms.problems import InputError


class BrokenArchiveError(InputError):
    """An archive that breaks off or is damaged; its members before that place are read."""
