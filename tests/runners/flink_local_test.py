"""Flink inside Beam's job server, with workers in the job's own process."""

import pytest

from tests.runners.fetched import fetched
from tests.runners.jobs import assert_same


@pytest.mark.slow
def test_same_dataset(prepared, expected, tmp_path):
    fetched("flink-job-server.jar")
    assert_same(prepared.run(tmp_path, "--runner_config=flink_local"), expected)
