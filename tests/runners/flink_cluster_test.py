"""A standalone Flink cluster: the helper itself, then the jobs on it."""

import contextlib

import pytest

from tests.runners.fetched import fetched
from tests.runners.flink_cluster import WORKERS, flink_cluster
from tests.runners.jobs import assert_same, wait_for_parts
from tests.runners.worker_pool import free_port, worker_pool

# The address of each TaskManager's workers. Two TaskManagers give their workers the same names, so
# that each needs a pool of its own.
WORKERS_OF = {"one": "127.0.0.1", "two": "127.0.0.2", "three": "127.0.0.3"}


@pytest.fixture(scope="session")
def job_server():
    return fetched("flink-job-server.jar")


@pytest.fixture
def cluster(tmp_path):
    directory = tmp_path / "flink"
    directory.mkdir()
    first = {name: WORKERS_OF[name] for name in ("one", "two")}
    with flink_cluster(fetched("flink"), directory, first) as cluster:
        yield cluster


@pytest.fixture
def on_cluster(job_server, cluster, tmp_path):
    """The flags that run a job on the cluster, with a pool of workers for each TaskManager."""
    port = free_port()
    with contextlib.ExitStack() as pools:
        for name, host in WORKERS_OF.items():
            pools.enter_context(worker_pool(tmp_path / f"pool-{name}.log", host, port))
        yield (
            "--runner_config=flink_cluster",
            f"--flink_master={cluster.master}",
            f"--environment_config={WORKERS}:{port}",
        )


@pytest.mark.slow
def test_cluster_misses_a_killed_task_manager_and_takes_a_new_one(cluster):
    assert cluster.get("overview")["slots-total"] == 2
    cluster.kill_task_manager("one")
    cluster.wait_for_task_managers("two")
    cluster.start_task_manager("three")
    cluster.wait_for_task_managers("two", "three")
    assert cluster.get("overview")["slots-available"] == 2
    assert cluster.job_ids() == []


@pytest.mark.slow
def test_spreads_over_both_task_managers_and_survives_the_loss_of_one(
    prepared, expected, tmp_path, cluster, on_cluster
):
    output = tmp_path / "output"
    job = prepared.start(output, *on_cluster, "--block_size=1")
    wait_for_parts(output, job, 3)
    (job_id,) = cluster.job_ids()
    reading = {name: where for name, where in cluster.vertices(job_id).items() if "Read" in name}
    assert {"one", "two"} in reading.values(), reading

    cluster.kill_task_manager("one")
    cluster.start_task_manager("three", WORKERS_OF["three"])
    assert_same(prepared.finish(job, output), expected)
    assert cluster.get(f"jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
