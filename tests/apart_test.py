import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beamscope.transforms.activity import listening
from beamscope.transforms.apart import EndedApartError, call_apart
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from tests import apart_functions

ROOT = Path(__file__).resolve().parents[1]
WAITING = """
import sys
from beamscope.transforms.apart import call_apart
from tests import apart_functions

print("begun", flush=True)
call_apart(apart_functions.waits, sys.argv[1])
"""


def test_answer_activities_and_log_come_back(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str | None] = []
    told: list[Any] = []
    with listening(done.append), caplog.at_level(logging.INFO):
        assert call_apart(apart_functions.adds, 1, 2, hear=told.append) == 3
    assert told == ["1 + 2"]
    assert done == ["adding", "carrying", None, None]
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("beamscope.tests", "1 is odd")
    ]


def test_it_is_another_process_with_our_path_and_more_variables() -> None:
    found = call_apart(apart_functions.looks, environment={"BEAMSCOPE_TESTS": "yes"})
    assert found["process"] != os.getpid()
    assert found["variable"] == "yes"
    assert found["path"] == sys.path


def test_a_refusal_is_raised_here() -> None:
    with pytest.raises(InputError) as raised:
        call_apart(apart_functions.refuses)
    assert (raised.value.kind, raised.value.message) == (Kind.BAD_MODEL, "model m: no good")


@pytest.mark.parametrize(
    ("function", "message", "status"),
    [
        (apart_functions.aborts, "was killed by SIGABRT: free(): invalid pointer", -signal.SIGABRT),
        (apart_functions.leaves, "ended with status 3", 3),
        (apart_functions.fails, "'two\\nlines'", None),
    ],
)
def test_an_end_without_an_answer(
    function: Callable[..., Any], message: str, status: int | None
) -> None:
    with pytest.raises(EndedApartError) as raised:
        call_apart(function)
    assert (str(raised.value), raised.value.status) == (message, status)


def test_an_interpreter_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(EndedApartError, match="cannot be started") as raised:
        call_apart(apart_functions.looks)
    assert raised.value.status is None


def test_the_program_of_the_caller_is_not_run_again(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(WAITING.replace("waits, sys.argv[1]", "adds, 1, 2"))
    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("begun\n", 0), done.stderr


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_its_caller(tmp_path: Path, end: signal.Signals) -> None:
    file = tmp_path / "process"
    caller = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(file)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    child = written(file)
    caller.send_signal(end)
    caller.wait(60)
    wait_for_end(child)


def written(file: Path) -> int:
    """Return the number that another process writes, when it has."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError("nothing was written")


def wait_for_end(process: int) -> None:
    """Wait until a process is gone, or dead and not yet waited for by whoever adopted it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        time.sleep(0.02)
    raise AssertionError("it lives on")
