"""The log file of one start of a job: what it did and when.

It holds what beamscope says, and no words of other libraries' errors: these may quote what was
read, such as a patient's name.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import threading
from collections.abc import Iterator
from typing import TextIO

from beamscope.pipelines.terminal.quiet import worth_saying
from beamscope.transforms.activity import listening
from beamscope.transforms.output.layout import job_log
from beamscope.transforms.storage import files

# A remote object is written as a whole, so not with every line.
_SECONDS_BETWEEN_WRITES = 60.0
# A log that grows without an end is a fault of the job; its first lines then say what happened.
_MOST_LINES = 20_000

LOG = logging.getLogger("beamscope.job")


class LogFile(logging.Handler):
    """Keeps records until it is opened, and writes these and all later ones to a file.

    Attributes:
      path: the file, local, gs:// or s3://; empty until it is opened.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.addFilter(worth_saying)
        self.path = ""
        self._lines: list[str] = []
        self._ended = threading.Event()
        self._file: TextIO | None = None

    def open(self, root: str, share: str = "") -> None:
        """Begin a file of its own in the output directory of a job.

        Args:
          root: the output directory.
          share: of the job that this process does; processes on several machines may have one
            number.
        """
        now = datetime.datetime.now(datetime.UTC)
        self.path = job_log(root, f"{now:%Y%m%dT%H%M%SZ}-{os.getpid()}{share and f'-{share}'}")
        self._write()
        if files.is_local(root) and files.exists(self.path):
            self._file = files.local_path(self.path).open("a", encoding="utf-8")
        else:
            # Not by `emit`: a store's client may log, and would wait for itself.
            threading.Thread(target=self._write_often, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, in one line where it has no details."""
        own = record.name.split(".")[0] == "beamscope"
        raised = record.exc_info[0] if record.exc_info else None
        text = record.getMessage() if own else f"{record.name}: an error is not quoted here"
        if raised is not None:
            text += f" ({raised.__name__})"
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        self._add(f"{moment:%Y-%m-%d %H:%M:%S} {record.levelname.lower():<7} {text}")

    def close(self) -> None:
        """Write what has not been written; again is nothing, as when the interpreter ends."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._file is not None:
            self._file.close()
            self._file = None
        elif self.path:
            self._write()
        super().close()

    def _add(self, line: str) -> None:
        if len(self._lines) >= _MOST_LINES:
            return
        self._lines.append(line)
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._file.write(f"{line}\n")
                self._file.flush()

    def _write_often(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_WRITES):
            self._write()

    def _write(self) -> None:
        # A log must not end a job whose output is full or gone: the job itself says so.
        with contextlib.suppress(OSError):
            files.write_bytes(
                self.path, "".join(f"{line}\n" for line in tuple(self._lines)).encode()
            )


@contextlib.contextmanager
def logged() -> Iterator[LogFile]:
    """Collect what this process does and says until the body ends; `LogFile.open` writes it."""
    handler = LogFile()
    root, own = logging.getLogger(), logging.getLogger("beamscope")
    level = own.level
    own.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        with listening(lambda what: LOG.info("%s", what) if what else None):
            yield handler
    finally:
        root.removeHandler(handler)
        own.setLevel(level)
        handler.close()
