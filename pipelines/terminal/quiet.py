"""Keeps TensorFlow's and Beam's chatter off the terminal, so that what we say can be read."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamscope.transforms.inference.backends.registry import BACKENDS

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.base import Backend


def quiet() -> None:
    """Sets what TensorFlow reads at its import, and the levels of the loggers. Warnings stay.

    To be called before TensorFlow is imported. A TF_CPP_MIN_LOG_LEVEL of the user's own is kept.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("absl", "apache_beam", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # A handler of our own, before a library's first message makes one that no filter sits on.
    if not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.addFilter(_worth_saying)
        logging.getLogger().addHandler(handler)
    # Raised by libraries at import, and nothing that a user of a job could act on.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Not that Beam cannot measure models without PyTorch; nor where Ctrl-C found a worker."""
    message = record.getMessage()
    raised = record.exc_info[0] if record.exc_info else None
    interrupted = raised is KeyboardInterrupt or "KeyboardInterrupt" in message
    return not interrupted and "Resource module" not in message


def start_quietly(backend: Backend[Any]) -> None:
    """Start a model backend without the lines that its C++ parts print before any level applies."""
    quiet()
    with _stderr_dropped():
        backend.start()


def import_tensorflow() -> None:
    """Import TensorFlow without those lines, for what uses it beside a model."""
    start_quietly(BACKENDS.get("saved_model"))


@contextlib.contextmanager
def _stderr_dropped() -> Iterator[None]:
    # File descriptor 2, since those lines do not go through sys.stderr.
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
