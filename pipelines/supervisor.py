"""A job in a child process, started again when the process dies.

A crash in a C library, the kernel when memory runs out, and a watchdog end a process without a word
to its interpreter. The records of what was begun (`transforms/faults/tries.py`) outlive it; this
process does too, and starts the next one, which leaves out what has ended two. It imports neither
Beam nor a library of models, so that it costs no memory, and nothing of it can crash.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from beamscope.transforms.faults.run import BEGUN, ENDED, HUNG, REPORTS, RUN
from beamscope.transforms.process_death import death

# The status of a child that has lost a worker process.
LOST_WORKER = 87
# As a shell reports a program that Ctrl-C has ended.
INTERRUPTED = 130

# So many processes in a row that died before they had finished a single step: what fails is not
# some step. Each bad block costs two.
_IN_VAIN = 20
# So many processes in a row that lost a worker or the runner before any work was begun.
_LOST_AT_ONCE = 3
# How long processes that a dead one has left behind may take to end in order.
_ORPHANS_MAY_TAKE = 10.0
_STOPPING = (signal.SIGINT, signal.SIGTERM)
# A second Ctrl-C after so many seconds means it: the child is killed.
_PATIENCE = 2.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

_LOCAL_CONFIGS = frozenset({"direct", "direct_parallel", "prism", "flink_local"})
_LOCAL_RUNNER = re.compile(r"(direct|fnapi|prism)(runner)?$", re.IGNORECASE)
_RUNNER_IN_CONFIG = re.compile(r"^runner:\s*[\"']?([\w.]+)", re.MULTILINE)


def runs_here(arguments: Sequence[str]) -> bool:
    """Return whether a job's command line means work on this machine, and no help."""
    if not hasattr(os, "fork") or {"-h", "--help", "--help_all"} & set(arguments):
        return False
    config, runner = _value(arguments, "--runner_config"), _value(arguments, "--runner")
    if runner is None and config is not None and config not in _LOCAL_CONFIGS:
        try:
            found = _RUNNER_IN_CONFIG.search(Path(config).read_text(errors="replace"))
        except OSError:
            return False
        runner = found[1] if found else ""
    return runner is None or _LOCAL_RUNNER.search(runner) is not None


def _value(arguments: Sequence[str], flag: str) -> str | None:
    """Return the last value of a flag, in either of its forms."""
    found = None
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            found = argument.partition("=")[2]
        elif argument == flag and place + 1 < len(arguments):
            found = arguments[place + 1]
    return found


def is_supervised() -> bool:
    """Return whether this process is the child of a supervisor."""
    return RUN in os.environ


def supervise(name: str, work: Callable[[], int]) -> int:
    """Run a job in a child process, as often as it dies and gets further, and return its status.

    Args:
      name: of the command, for messages.
      work: the job; it is called in a child process, and returns the exit status.
    """
    supervisor = _Supervisor(name)
    with supervisor.in_charge():
        return supervisor.run(work)


class _Supervisor:
    def __init__(self, name: str) -> None:
        self._name = name
        self._child = 0
        self._asked_to_stop: float | None = None

    @contextlib.contextmanager
    def in_charge(self) -> Iterator[None]:
        """Hand signals on to the child, and adopt what it leaves behind."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        before = {one: signal.signal(one, self._hand_on) for one in _STOPPING}
        os.environ[RUN] = os.urandom(8).hex()
        try:
            yield
        finally:
            del os.environ[RUN]
            for one, handler in before.items():
                signal.signal(one, handler)

    def run(self, work: Callable[[], int]) -> int:
        in_vain = 0
        while True:
            status, reports = self._run_once(work)
            cause = _death(status)
            if self._asked_to_stop is not None:
                if cause is not None:
                    self._say("interrupted; the same command continues from here")
                    return INTERRUPTED
                return status
            if cause is None:
                return status
            in_vain = 0 if ENDED in reports else in_vain + 1
            if BEGUN not in reports and (status != LOST_WORKER or in_vain >= _LOST_AT_ONCE):
                # Workers of a pool are not ours: they tell nothing, and it may be gone.
                where = (
                    "; the same command continues from here"
                    if status == LOST_WORKER
                    else ", before any work was begun"
                )
                self._say(f"{cause}{where}")
                return _status_of_death(status)
            if in_vain >= _IN_VAIN:
                self._say(f"{cause}; so did the {in_vain - 1} before it, and none finished a block")
                return _status_of_death(status)
            self._say(f"{cause}; it goes on in a new process")

    def _run_once(self, work: Callable[[], int]) -> tuple[int, bytes]:
        """Run the job once.

        Returns:
          its exit status, negative for a signal, and what its processes have told.
        """
        reading, writing = os.pipe()
        # By this name every process of this user can open it, workers of workers too; elsewhere
        # than on Linux the child alone.
        folder = f"/proc/{os.getpid()}/fd" if sys.platform == "linux" else "/dev/fd"
        os.environ[REPORTS] = f"{folder}/{writing}"
        sys.stdout.flush()
        sys.stderr.flush()
        # No signal may come between the fork and the place where the child's number is kept.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        child = os.fork()
        if not child:
            os.close(reading)
            _begin_as_child(self._name)
            os._exit(work())
        self._child = child
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        if self._asked_to_stop is not None:
            os.kill(child, signal.SIGTERM)
        _, ended = os.waitpid(child, 0)
        self._child = 0
        _wait_for_orphans()
        os.set_blocking(reading, False)
        try:
            reports = os.read(reading, 1 << 16)
        except BlockingIOError:
            reports = b""
        os.close(reading)
        os.close(writing)
        del os.environ[REPORTS]
        return os.waitstatus_to_exitcode(ended), reports

    def _hand_on(self, number: int, frame: object) -> None:
        del frame
        now = time.monotonic()
        again = self._asked_to_stop is not None and now - self._asked_to_stop > _PATIENCE
        if self._asked_to_stop is None:
            self._asked_to_stop = now
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL if again else number)

    def _say(self, what: str) -> None:
        # A progress bar may have left the cursor in the middle of its line.
        start = "\n" if sys.stderr.isatty() else ""
        print(f"{start}beamscope {self._name}: {what}", file=sys.stderr, flush=True)


def stop_on_signals() -> None:
    """Make SIGTERM end this process as Ctrl-C does, and let neither come twice at once.

    Ctrl-C reaches every process of a terminal; a supervisor hands it on a second time.
    """
    last = -_PATIENCE

    def stop(number: int, frame: object) -> None:
        nonlocal last
        del number, frame
        now = time.monotonic()
        if now - last >= _PATIENCE:
            last = now
            raise KeyboardInterrupt

    for one in _STOPPING:
        signal.signal(one, stop)


_at_once = False


def stop_at_once(name: str) -> None:
    """Make SIGTERM and Ctrl-C end this process at once, with the line that says how to go on.

    It is for the start, before anything is begun. An exception in the middle of an import may be
    lost, or end up as a traceback of the library that is imported.
    """
    global _at_once
    _at_once = True
    line = f"\nbeamscope {name}: interrupted; the same command continues from here\n".encode()

    def stop(number: int, frame: object) -> None:
        del number, frame
        os.write(2, line)
        os._exit(INTERRUPTED)

    for one in _STOPPING:
        signal.signal(one, stop)


def stop_in_order() -> None:
    """Say that work begins: from here on, signals end this process in order."""
    global _at_once
    if _at_once:
        _at_once = False
        stop_on_signals()


def _begin_as_child(name: str) -> None:
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(INTERRUPTED)
    stop_at_once(name)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _death(status: int) -> str | None:
    """Return how a process died, in words; None where it ended by itself."""
    if status == HUNG:
        return "the process was ended by its watchdog (--item_timeout)"
    if status == LOST_WORKER:
        return "a worker process or the runner died"
    return None if status >= 0 else f"the process {death(status)}"


def _status_of_death(status: int) -> int:
    # As a shell reports it.
    return 128 - status if status < 0 else 1


def _wait_for_orphans() -> None:
    """Wait for what a dead child has left behind, and end it where it does not end by itself."""
    until = time.monotonic() + _ORPHANS_MAY_TAKE
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended:
            continue
        if time.monotonic() > until:
            for orphan in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
        time.sleep(0.02)


def _children() -> list[int]:
    own = os.getpid()
    path = Path(f"/proc/{own}/task/{own}/children")
    try:
        return [int(number) for number in path.read_text().split()]
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    """Set a property of this process, where there is one: on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
