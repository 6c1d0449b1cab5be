"""Beam's Prism runner, with workers in the job's process and in a pool of processes."""

import os
import signal

import pytest

from tests.runners.fetched import fetched
from tests.runners.jobs import assert_same, read_dataset, wait_for_parts
from tests.runners.worker_pool import worker_pool

IN_POOL = ("--runner_config=prism", "--environment_type=EXTERNAL")


@pytest.fixture(autouse=True)
def _prism():
    fetched("prism")


@pytest.mark.slow
def test_workers_in_the_process(prepared, expected, tmp_path):
    assert_same(prepared.run(tmp_path, "--runner_config=prism"), expected)


@pytest.mark.slow
def test_workers_in_a_pool(prepared, expected, tmp_path):
    log = tmp_path / "pool.log"
    with worker_pool(log) as pool:
        config = f"--environment_config={pool.address}"
        dataset = prepared.run(tmp_path / "output", *IN_POOL, config)
    assert_same(dataset, expected)
    assert "Starting worker" in log.read_text()


@pytest.mark.slow
def test_a_killed_worker_costs_the_blocks_in_its_hands(prepared, expected, tmp_path):
    # Small blocks, so that the kill comes in the middle.
    small = "--block_size=1"
    output = tmp_path / "output"
    with worker_pool(tmp_path / "pool.log") as pool:
        job = prepared.start(output, *IN_POOL, small, f"--environment_config={pool.address}")
        done = wait_for_parts(output, job, 3)
        written = {part: part.stat().st_mtime_ns for part in done}
        (worker,) = pool.workers()
        os.kill(worker, signal.SIGKILL)
        said, _ = job.communicate(timeout=150)
    assert job.returncode == 0, said
    assert "the runner died; it goes on in a new process" in said
    assert_same(read_dataset(output, prepared.job), expected)
    assert {part: part.stat().st_mtime_ns for part in done} == written
