"""Do tasks in child processes, so that a crash or a hang is a finding and not the end of the test.

A child is `python -m tests.campaign.children`. It takes one task after the other: the name of a
function ``module:function`` and its arguments, as JSON. Its answer has what the function returns,
and the most memory that the process had meanwhile.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import selectors
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Address space: what goes beyond any bound is stopped before it takes the machine along.
_ADDRESS_SPACE = 24 << 30


@dataclasses.dataclass(frozen=True)
class Task:
    """What a child is to do.

    Attributes:
      name: for a person.
      function: ``module:function``.
      arguments: that JSON can hold.
    """

    name: str
    function: str
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
      task: which.
      answer: of the function; None where there is none.
      failure: ``raised …``, ``died …`` or ``hung``; None where the function returned.
      peak_mb: memory that the process had at most during the task, with all that it has loaded.
      seconds: of the clock.
    """

    task: Task
    answer: Any
    failure: str | None
    peak_mb: float
    seconds: float


def run_tasks(tasks: Iterable[Task], *, timeout: float, log: Path) -> Iterator[Outcome]:
    """Do tasks one after the other, each in the same child as long as it lives.

    Args:
      tasks: in their order.
      timeout: seconds that one may take.
      log: where the children's own messages go.
    """
    child: _Child | None = None
    try:
        for task in tasks:
            child = child or _Child(log)
            outcome = child.do(task, timeout)
            if outcome.failure and not outcome.failure.startswith("raised"):
                child.end()
                child = None
            yield outcome
    finally:
        if child:
            child.end()


class _Child:
    def __init__(self, log: Path) -> None:
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.campaign.children"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        assert self._process.stdout is not None
        self._events = selectors.DefaultSelector()
        self._events.register(self._process.stdout, selectors.EVENT_READ)

    def do(self, task: Task, timeout: float) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        started = time.monotonic()
        line = b""
        try:
            self._process.stdin.write(json.dumps(dataclasses.asdict(task)).encode() + b"\n")
            self._process.stdin.flush()
            if not self._events.select(timeout):
                return Outcome(task, None, "hung", 0.0, time.monotonic() - started)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            pass
        seconds = time.monotonic() - started
        if not line:
            return Outcome(task, None, f"died {-self._process.wait()}", 0.0, seconds)
        answer = json.loads(line)
        return Outcome(task, answer["answer"], answer["failure"], answer["peak_mb"], seconds)

    def end(self) -> None:
        self._events.close()
        self._process.kill()
        self._process.communicate()


def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    # What libraries print is not to be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        task = Task(**json.loads(line))
        module, function = task.function.split(":")
        answer, failure = None, None
        try:
            work = getattr(importlib.import_module(module), function)
            _forget_peak()
            answer = work(**task.arguments)
        except Exception as error:  # noqa: BLE001, whatever it is
            failure = f"raised {type(error).__name__}: {error}"[:300]
            sys.stderr.write(f"--- {task.name}\n{traceback.format_exc()}\n")
            sys.stderr.flush()
        answers.write(json.dumps({"answer": answer, "failure": failure, "peak_mb": _peak_mb()}))
        answers.write("\n")
        answers.flush()


def _forget_peak() -> None:
    """Let the kernel count the process's peak anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    _serve()
