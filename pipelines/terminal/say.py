"""Say a line to the user: above the line that shows the progress, and in the log."""

from __future__ import annotations

import sys
from typing import TextIO

from beamscope.pipelines.terminal.live import LINE
from beamscope.pipelines.terminal.log_file import LOG


def say(text: str) -> None:
    """Print a line that belongs to the result, and log it."""
    _say(text, sys.stdout)


def note(text: str) -> None:
    """Print a line that does not belong to the result, on standard error, and log it."""
    _say(text, sys.stderr)


def _say(text: str, stream: TextIO) -> None:
    LOG.info("%s", text)
    with LINE.lifted():
        print(text, file=stream, flush=True)
