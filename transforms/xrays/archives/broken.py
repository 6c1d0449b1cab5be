"""The error for an archive that is damaged as a whole."""

from __future__ import annotations

from beamscope.transforms.problems import InputError


class BrokenArchiveError(InputError):
    """The archive itself breaks off or is damaged: its members before that are read."""
