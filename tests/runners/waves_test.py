"""Blocks are embedded before all slides are planned, on each runner that works in one process."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from benchmarks.manifest import make_slides
from tests.runners.fetched import fetched
from tests.runners.jobs import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "needs"), [("prism", "prism"), ("flink_local", "flink-job-server.jar")]
)
def test_the_last_plan_can_wait_for_the_first_part(tmp_path, config, needs):
    fetched(needs)
    make_slides(tmp_path, 8)
    output = tmp_path / "output"
    job = ["--manifest", f"{tmp_path}/all.csv", "--model", f"{tmp_path}/mean", "--block_size=8"]
    command = [sys.executable, "-m", "tests.runners.waiting_job", str(output), "2", *job]
    command += ["--runner_config", config]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    (shard,) = output.glob("embeddings/*.parquet")
    assert pq.read_metadata(shard).num_rows == 8 * 16
