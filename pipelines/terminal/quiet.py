"""Keep the log messages of TensorFlow and Beam off the terminal, so that users see ours."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from beamscope.pipelines.terminal.live import LINE
from beamscope.transforms.inference.backends.registry import BACKENDS
from beamscope.transforms.problems import JobStoppedError, StorageError

if TYPE_CHECKING:
    from beamscope.transforms.inference.backends.base import Backend

_ThreadHook = Callable[["threading.ExceptHookArgs"], object]
# Words of Beam's log about what is told in one line at the end.
_TOLD_ELSEWHERE = (
    "KeyboardInterrupt", "DefectEverywhereError", "JobStoppedError", "RepairNeededError",
    "Error closing worker_handler", "Failed to read inputs in the data plane",
    *(one.__name__ for one in StorageError.__subclasses__()),
)  # fmt: skip


class _TerminalHandler(logging.StreamHandler[TextIO]):
    """Writes above the line that shows the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        with LINE.lifted():
            super().emit(record)


def quiet(*, verbose: bool = False) -> None:
    """Set the log levels of TensorFlow and Beam to errors. Keep our own warnings.

    Call it before TensorFlow is imported. It keeps a TF_CPP_MIN_LOG_LEVEL that the user has set.

    Args:
      verbose: show our own lines about what is done, too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("absl", "apache_beam", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Add our handler first: a library's first message would add one without our filter.
    if not logging.getLogger().handlers:
        handler = _TerminalHandler()
        handler.setLevel(logging.INFO if verbose else logging.WARNING)
        handler.addFilter(worth_saying)
        logging.getLogger().addHandler(handler)
        threading.excepthook = _only_worth_saying(threading.excepthook)
    # Libraries raise these at import, and the user of a job can do nothing about them.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def worth_saying(record: logging.LogRecord) -> bool:
    """Drop Beam's message about its missing PyTorch, and what a line at the end of the job says.

    That line says that Ctrl-C came, that a worker process died, or that everything fails.
    """
    message = record.getMessage()
    raised = record.exc_info[0] if record.exc_info else None
    known = raised is not None and issubclass(
        raised, (KeyboardInterrupt, JobStoppedError, StorageError)
    )
    known |= any(name in message for name in _TOLD_ELSEWHERE)
    return not known and "Resource module" not in message


def _only_worth_saying(show: _ThreadHook) -> _ThreadHook:
    """Return a hook for exceptions of threads that leaves out those of a lost worker."""

    def hook(args: threading.ExceptHookArgs) -> None:
        lost = args.exc_type.__name__ == "RpcError" or "Worker subprocess" in str(args.exc_value)
        if not lost:
            show(args)

    return hook


def start_quietly(backend: Backend[Any]) -> None:
    """Start a model backend without the lines that its C++ code prints before log levels apply."""
    quiet()
    with _stderr_dropped():
        backend.start()


def import_tensorflow() -> None:
    """Import TensorFlow without those lines, for code that uses it without a model."""
    start_quietly(BACKENDS.get("saved_model"))


@contextlib.contextmanager
def _stderr_dropped() -> Iterator[None]:
    # Redirect file descriptor 2, because those lines bypass sys.stderr.
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
