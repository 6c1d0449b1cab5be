"""The error of a process that is ending is no item's problem."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

from beamscope.transforms.faults.ending import process_ends
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.output.layout import Layout

ROOT = Path(__file__).resolve().parents[2]

# A thread of a runner that goes on after the main thread: it meets what such a thread meets.
CODE = """
    import pickle, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor

    guard, step = pickle.loads(bytes.fromhex(sys.argv[1]))

    def work():
        attempt = guard.begin(step)
        threading.main_thread().join()
        time.sleep(0.2)
        try:
            ThreadPoolExecutor(1).submit(int)
        except RuntimeError as error:
            try:
                problem = guard.defect(step, "read", error)
                print("problem:", problem.message)
            except Exception as raised:
                print(type(raised).__name__, raised)
        finally:
            attempt.end()

    threading.Thread(target=work).start()
"""


def test_a_process_that_goes_on_is_not_ending():
    assert not process_ends()


def test_an_error_at_the_end_of_the_process_is_no_problem_of_the_step(tmp_path):
    layout = Layout(str(tmp_path / "out"), "p", "e")
    given = pickle.dumps((Guard(layout, "run-1", items=3), Step("a", 0))).hex()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), given],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == "ProcessEndsError reading a[0]: this process is ending\n"
    # Neither a log that blames the step, nor a record that it ended its process.
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["lock"]
