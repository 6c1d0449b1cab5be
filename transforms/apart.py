"""Call a function in a process of its own, whose memory is the machine's again when it ends.

That is a new interpreter: a fork would begin with the memory and the locks of this process, and
`multiprocessing` would run `__main__` once more, and refuses to start a process in its daemons.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import IO, Any, NoReturn

from beamscope.transforms.activity import doing, listening
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.process_death import death

# What is sent on to the caller's log.
_OWN = "beamscope"
_PROGRAM = (
    "import pickle, sys\n"
    "sys.path[:] = pickle.load(sys.stdin.buffer)\n"
    "from beamscope.transforms.apart import _work\n"
    "_work(*map(int, sys.argv[1:]))\n"
)
_PR_SET_PDEATHSIG = 1
_LAST_WORDS = 200


class EndedApartError(Exception):
    """There is no answer; the message goes on after "the process", on one line.

    Attributes:
      status: of the process that has ended, negative for a signal; None where it was not started,
        or the function has raised an exception that is no InputError.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Apart:
    """What a function in a process of its own sends to its caller."""

    def __init__(self, messages: Connection) -> None:
        self._messages = messages
        # Threads may log.
        self._lock = threading.Lock()

    def tell(self, value: Any) -> None:
        """Send a value ahead of the answer."""
        self._send("told", value)

    def _send(self, what: str, value: Any) -> None:
        with self._lock:
            self._messages.send((what, value))


def can_call_apart() -> bool:
    """Return whether the interpreter knows its own program; one that is embedded may not."""
    return bool(sys.executable) and os.name == "posix"


def call_apart(
    function: Callable[..., Any],
    *arguments: Any,
    hear: Callable[[Any], None] = lambda _: None,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Call ``function(apart, *arguments)`` in a new process, and return its answer.

    Its activities and the records of our loggers appear here as if it ran here. It ends with this
    process, however this one ends.

    Args:
      function: of a module, not of `__main__`; the first argument is an `Apart`.
      arguments: these and the answer are pickled.
      hear: gets what the function tells.
      environment: variables of the process, besides those of this one.

    Raises:
      InputError: the function has raised it.
      EndedApartError: the process died, or another exception ended it.
    """
    receiving, sending = os.pipe()
    # Not a pipe, which would have to be read; what it says last may be the reason of its end.
    with tempfile.TemporaryFile() as said, Connection(receiving, writable=False) as messages:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, str(sending), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                pass_fds=(sending,),
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise EndedApartError(f"cannot be started: {one_line(error)}") from error
        finally:
            os.close(sending)
        try:
            _send(process, sys.path, (function, arguments))
            found = _received(messages, hear)
            if found is None:
                raise _ended(process.wait(), said)
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                _stdin(process).close()
    what, value = found
    if what == "answer":
        return value
    raise value if isinstance(value, InputError) else EndedApartError(value)


def _send(process: subprocess.Popen[bytes], *values: Any) -> None:
    # It stays open: its end tells the process that this one has ended.
    with contextlib.suppress(BrokenPipeError):
        for value in values:
            _stdin(process).write(pickle.dumps(value))
        _stdin(process).flush()


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _received(messages: Connection, hear: Callable[[Any], None]) -> tuple[str, Any] | None:
    """Return the last message; None where there was none."""
    with contextlib.ExitStack() as rest:
        begun: list[contextlib.ExitStack] = []
        while True:
            try:
                what, value = messages.recv()
            except EOFError:
                return None
            if what == "doing" and value is not None:
                begun.append(rest.enter_context(contextlib.ExitStack()))
                begun[-1].enter_context(doing(value))
            elif what == "doing":
                begun.pop().close()
            elif what == "log":
                name, level, text = value
                logging.getLogger(name).log(level, "%s", text)
            elif what == "told":
                hear(value)
            else:
                return what, value


def _ended(status: int, said: IO[bytes]) -> EndedApartError:
    said.seek(0)
    lines = said.read().decode(errors="replace").splitlines()
    words = [line.strip() for line in lines if line.strip()]
    last = f": {words[-1][:_LAST_WORDS]}" if words else ""
    return EndedApartError(f"{death(status)}{last}", status)


class _Records(logging.Handler):
    """Sends what our loggers say."""

    def __init__(self, apart: Apart) -> None:
        super().__init__(logging.INFO)
        self._apart = apart

    def emit(self, record: logging.LogRecord) -> None:
        self._apart._send("log", (record.name, record.levelno, record.getMessage()))


def _work(sending: int, parent: int) -> NoReturn:
    """Be the process."""
    # Ctrl-C comes to all processes of a terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(parent)
    apart = Apart(Connection(sending, readable=False))
    with _sending(apart):
        last: tuple[str, Any]
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
            threading.Thread(target=_end_with_stdin, daemon=True).start()
            last = ("answer", function(apart, *arguments))
        except InputError as error:
            last = ("refused", error)
        except BaseException as error:  # noqa: BLE001
            traceback.print_exc()
            last = ("failed", one_line(error))
        apart._send(*last)
    # Threads of C++ libraries may abort while an interpreter shuts down.
    os._exit(0)


@contextlib.contextmanager
def _sending(apart: Apart) -> Iterator[None]:
    """Send what our loggers say, and what is being done."""
    own = logging.getLogger(_OWN)
    own.setLevel(logging.INFO)
    own.propagate = False
    own.addHandler(_Records(apart))
    with listening(lambda what: apart._send("doing", what)):
        yield


def _end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, where it can: on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _end_with_stdin() -> None:
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    os._exit(1)
