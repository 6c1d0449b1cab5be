"""Who is blamed for the end of a process: the step that was at work alone, and no other."""

import dataclasses
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from beamscope.transforms.faults import alone, tries
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.output.claim import claim_output
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problems import InputError
from tests.output.claim_test import RUN

ROOT = Path(__file__).resolve().parents[2]
GOOD, BAD = Step("a", 0), Step("a", 1)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p", "e")


@pytest.fixture
def guard(layout):
    return Guard(layout, "run-1", items=3)


def die(guard, steps, *, by_itself=False):
    """A process that begins steps and is then gone without a word."""
    begin = "guard.begin_alone(step)" if by_itself else "assert guard.begin(step)"
    code = f"""
        import os, pickle, sys
        guard, steps = pickle.loads(bytes.fromhex(sys.argv[1]))
        for step in steps:
            {begin}
        os.abort()
    """
    given = pickle.dumps((guard, steps)).hex()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), given],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -6, done.stderr.decode()


def test_a_step_that_ends_leaves_nothing(guard, layout):
    attempt = guard.begin(GOOD)
    assert tries.earlier_tries(layout, GOOD) == [tries.Try("run-1", alone=False)]
    attempt.end()
    attempt.end()
    assert tries.earlier_tries(layout, GOOD) == []


def test_only_what_died_alone_is_lost(guard):
    die(guard, [GOOD, BAD])
    assert guard.begin(GOOD) is None
    assert guard.begin(BAD) is None
    innocent = guard.begin_alone(GOOD)
    assert innocent.lost is None
    innocent.end()
    die(guard, [BAD], by_itself=True)
    attempt = guard.begin_alone(BAD)
    assert attempt.lost.kind == "crashes"
    assert attempt.lost.message.startswith("2 processes")
    attempt.end()
    # With its problem written, a later start may try again.
    again = guard.begin(BAD)
    assert again is not None
    again.end()


def test_a_run_that_was_killed_as_a_whole_is_hardly_evidence(layout):
    """Whoever kills a run at random meets the same block now and then."""
    die(Guard(layout, "run-0"), [BAD])
    for number in range(1, 5):
        guard = Guard(layout, f"run-{number}")
        assert guard.begin(BAD) is None
        die(guard, [BAD], by_itself=True)
    attempt = Guard(layout, "run-5").begin_alone(BAD)
    assert attempt.lost.message.startswith("5 processes")
    attempt.end()


def test_a_process_that_ends_in_order_blames_nothing(guard, layout):
    code = """
        import pickle, sys
        guard, steps = pickle.loads(bytes.fromhex(sys.argv[1]))
        for step in steps:
            guard.begin(step)
        raise KeyboardInterrupt
    """
    given = pickle.dumps((guard, [GOOD, BAD])).hex()
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), given],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True,
    )  # fmt: skip
    assert tries.earlier_tries(layout, GOOD) == tries.earlier_tries(layout, BAD) == []


def test_a_suspect_waits_until_it_is_alone(guard):
    at_work = guard.begin(GOOD)
    began = threading.Event()

    def suspect():
        attempt = guard.begin_alone(BAD)
        began.set()
        attempt.end()

    thread = threading.Thread(target=suspect)
    thread.start()
    assert not began.wait(0.3)
    at_work.end()
    assert began.wait(10)
    thread.join()


def test_the_lock_of_a_dead_process_is_free(guard, layout):
    die(guard, [BAD], by_itself=True)
    alone.alone(layout).release()


def test_a_record_that_was_cut_short_counts_as_one_among_others(guard, layout):
    path = Path(layout.a_try("a", 1, 1))
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"run": "ru')
    assert guard.begin(BAD) is None
    attempt = guard.begin_alone(BAD)
    assert attempt.lost is None
    attempt.end()
    assert not path.exists()


def test_embeddings_of_one_plan_have_records_of_their_own(guard, layout):
    die(guard, [BAD])
    other = dataclasses.replace(guard, layout=dataclasses.replace(layout, fingerprint="other"))
    attempt = other.begin(BAD)
    assert attempt is not None
    attempt.end()


def test_overwrite_forgets(guard, layout):
    root = layout.root
    claim_output(root, RUN)
    die(guard, [BAD, Step("a")])
    claim_output(root, RUN, overwrite=True)
    assert tries.earlier_tries(layout, BAD) == tries.earlier_tries(layout, Step("a")) == []


def test_a_defect_tells_its_type_and_keeps_what_it_quotes(guard, layout):
    try:
        int("Doe^John")
    except ValueError as error:
        problem = guard.defect(BAD, "read", error)
    assert isinstance(problem, InputError)
    assert (problem.kind, problem.message) == (
        "defect",
        "ValueError (.beamscope/p/faults/a/000001.txt)",
    )
    log = Path(layout.fault_log("a", 1)).read_text()
    assert "guard_test.py" in log
    assert "builtins.ValueError" in log
