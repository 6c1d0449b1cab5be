"""The reference of the tests of runners: each job, run once in one process."""

from __future__ import annotations

import pytest

from tests.runners.jobs import JOBS, Dataset, Job, Prepared


@pytest.fixture(scope="session", params=JOBS, ids=lambda job: job.command)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    job: Job = request.param
    directory = tmp_path_factory.mktemp(job.command)
    return Prepared(job, job.make_input(directory))


@pytest.fixture(scope="session")
def expected(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The job's dataset from Beam's FnApiRunner with one worker."""
    output = tmp_path_factory.mktemp("expected")
    return prepared.run(output, "--runner_config=direct")
