"""The process that starts a job again, with jobs of one line."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from beamscope.pipelines.supervisor import runs_here

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from beamscope.pipelines.supervisor import supervise
from beamscope.transforms.faults import run

starts = Path(sys.argv[1])

def work():
    with starts.open("a") as log:
        log.write(run.run_id() + "\\n")
    count = len(starts.read_text().split())
    {body}

status = supervise("job", work)
assert not {{"apache_beam", "tensorflow", "numpy"}} & set(sys.modules)
sys.exit(status)
"""


def supervised(tmp_path, body):
    """Exit status, what was said, and how often the job was started."""
    program = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip())
    tmp_path.mkdir(exist_ok=True)
    starts = tmp_path / "starts"
    done = subprocess.run(
        [sys.executable, "-c", program, str(starts)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True,
        text=True, timeout=100,
    )  # fmt: skip
    ids = starts.read_text().split()
    assert len(set(ids)) == 1, "the processes of a run do not know that they are one"
    return done.returncode, done.stderr, len(ids)


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_a_job_that_ends_by_itself_is_not_started_again(tmp_path, status):
    assert supervised(tmp_path, f"return {status}") == (status, "", 1)


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("os.abort()", "killed by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "when memory runs out"),
        ("os.kill(os.getpid(), signal.SIGALRM)", "killed by SIGALRM"),
        ("os._exit(86)", "watchdog"),
        ("os._exit(87)", "a worker process or the runner died"),
    ],
)
def test_a_job_that_dies_at_work_goes_on(tmp_path, death, words):
    status, said, starts = supervised(
        tmp_path,
        f"""
        if count < 3:
            run.tell(run.BEGUN)
            {death}
        return 3
        """,
    )
    assert (status, starts) == (3, 3)
    assert said.count(words) == 2
    assert said.count("\n") == 2


def test_a_job_that_dies_before_any_work_is_not_started_again(tmp_path):
    status, said, starts = supervised(tmp_path, "os.abort()")
    assert (status, starts) == (134, 1)
    assert "before any work was begun" in said


def test_a_job_that_loses_its_runner_at_once_is_started_again_a_few_times(tmp_path):
    status, said, starts = supervised(tmp_path, "if count < 3: os._exit(87)\nreturn 0")
    assert (status, starts) == (0, 3)
    status, said, starts = supervised(tmp_path / "always", "os._exit(87)")
    assert (status, starts) == (1, 3)
    assert said.splitlines()[-1].endswith("the same command continues from here")


def test_a_job_that_dies_in_vain_ends(tmp_path):
    status, said, starts = supervised(tmp_path, "run.tell(run.BEGUN); os.abort()")
    assert (status, starts) == (134, 20)
    assert "none finished a block" in said.splitlines()[-1]


def test_a_job_that_gets_further_may_die_often(tmp_path):
    status, _, starts = supervised(
        tmp_path,
        """
        if count > 30:
            return 0
        run.tell(run.BEGUN)
        if count % 10 == 0:
            run.tell(run.ENDED)
        os.abort()
        """,
    )
    assert (status, starts) == (0, 31)


def test_what_a_dead_process_leaves_behind_ends_before_the_next_one_starts(tmp_path):
    status, _, starts = supervised(
        tmp_path,
        """
        left = starts.with_name("left")
        if count == 1:
            run.tell(run.BEGUN)
            if not os.fork():
                time.sleep(1)
                left.write_text("ended")
                os._exit(0)
            os.abort()
        return 0 if left.exists() else 1
        """,
    )
    assert (status, starts) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", True),
        ("--input a", True),
        ("--input a --help", False),
        ("--runner_config direct", True),
        ("--runner_config=direct_parallel", True),
        ("--runner_config prism", True),
        ("--runner_config flink_local", True),
        ("--runner_config flink_cluster", False),
        ("--runner_config dataflow_t4", False),
        ("--runner_config no/such/file.yaml", False),
        ("--runner DirectRunner", True),
        ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", True),
        ("--runner direct", True),
        ("--runner DataflowRunner", False),
        ("--runner_config direct --runner DataflowRunner", False),
        ("--runner FlinkRunner", False),
    ],
)
def test_what_runs_here(arguments, expected):
    assert runs_here(arguments.split()) is expected


@pytest.mark.parametrize(
    ("runner", "expected"),
    [("PrismRunner", True), ("'DirectRunner'", True), ("DataflowRunner", False)],
)
def test_configs_of_the_user(tmp_path, runner, expected):
    config = tmp_path / "mine.yaml"
    config.write_text(f"# mine\nparallelism: 2\nrunner: {runner}\n")
    assert runs_here(["--runner_config", str(config)]) is expected
