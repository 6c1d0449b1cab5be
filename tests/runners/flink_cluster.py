"""A standalone Flink cluster on 127.0.0.1: a JobManager, and TaskManagers that can be killed.

Flink's jars come without its shell scripts, so the two JVMs are started here as those would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.runners.worker_pool import free_port, stop

_T = TypeVar("_T")

# What Flink's serializers reach into, on Java 17.
_OPENED = ("java.lang", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util",
           "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
           "sun.nio.ch", "java.lang.reflect")  # fmt: skip
# The machine of a TaskManager's worker pool, by a name that each TaskManager reads in its own way.
WORKERS = "workers.test"
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"


class FlinkCluster:
    """A running cluster; each TaskManager has one slot and is known by its name.

    Attributes:
      master: address of the JobManager's REST interface, ``127.0.0.1:PORT``.
    """

    def __init__(self, flink: Path, directory: Path) -> None:
        """Starts a JobManager.

        Args:
          flink: directory with ``lib/`` and ``bin/`` of Flink's distribution.
          directory: an empty one, for the configuration, logs and temporary files.
        """
        self._classpath = f"{flink}/lib/*:{flink}/bin/bash-java-utils.jar"
        self._directory = directory
        port = free_port()
        self.master = f"127.0.0.1:{port}"
        self._write_configuration(port)
        self._task_managers: dict[str, subprocess.Popen[bytes]] = {}
        self._job_manager = self._start(
            "job-manager",
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            "GET_JM_RESOURCE_PARAMS",
        )

    def start_task_manager(self, name: str, workers: str = "127.0.0.1") -> None:
        """Starts a TaskManager, without waiting for its slot.

        Args:
          name: its own.
          workers: what the host `WORKERS` is to it, as ``localhost`` is to each machine another.
        """
        hosts = self._directory / f"{name}.hosts"
        hosts.write_text(
            f"127.0.0.1 localhost\n127.0.0.1 {socket.gethostname()}\n{workers} {WORKERS}\n"
        )
        self._task_managers[name] = self._start(
            name,
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            "GET_TM_RESOURCE_PARAMS",
            "-D",
            f"taskmanager.resource-id={name}",
            jvm=(f"-Djdk.net.hosts.file={hosts}",),
        )

    def kill_task_manager(self, name: str) -> None:
        """Kills a TaskManager's process as a machine that fails would, with no word of farewell."""
        process = self._task_managers.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def task_managers(self) -> set[str]:
        """The names of the TaskManagers that the JobManager takes for alive, with their slots."""
        # A TaskManager registers first, and offers its slot a moment later.
        managers = self.get("taskmanagers")["taskmanagers"]
        return {manager["id"] for manager in managers if manager["slotsNumber"]}

    def wait_for_task_managers(self, *names: str) -> None:
        """Waits until exactly these are there."""
        wait_until(lambda: self.task_managers() == set(names), f"task managers {names}")

    def job_ids(self) -> list[str]:
        """Every job that the cluster has seen, the latest first."""
        jobs = self.get("jobs/overview")["jobs"]
        return [job["jid"] for job in sorted(jobs, key=lambda job: -job["start-time"])]

    def vertices(self, job_id: str) -> dict[str, set[str]]:
        """On which TaskManagers each vertex of a job ran, by the vertex's name."""
        return {
            vertex["name"]: {
                manager["taskmanager-id"]
                for manager in self.get(f"jobs/{job_id}/vertices/{vertex['id']}/taskmanagers")[
                    "taskmanagers"
                ]
            }
            for vertex in self.get(f"jobs/{job_id}")["vertices"]
        }

    def get(self, path: str) -> Any:
        """What the REST interface answers."""
        with urllib.request.urlopen(f"http://{self.master}/{path}", timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """Ends every process of the cluster, by its id."""
        for process in (*self._task_managers.values(), self._job_manager):
            stop(process)

    def _write_configuration(self, port: int) -> None:
        host = "127.0.0.1"
        configuration = {
            "jobmanager.rpc.address": host,
            "jobmanager.rpc.port": free_port(),
            "jobmanager.bind-host": host,
            "jobmanager.memory.process.size": "1200m",
            "rest.address": host,
            "rest.bind-address": host,
            "rest.port": port,
            "taskmanager.host": host,
            "taskmanager.bind-host": host,
            "taskmanager.numberOfTaskSlots": 1,
            "taskmanager.memory.process.size": "1200m",
            # A killed TaskManager is missed after seconds, not after the usual 50.
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 5000,
            # A failed job waits this long for the slot of a new TaskManager.
            "slot.request.timeout": 120_000,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10,
            "restart-strategy.fixed-delay.delay": "1 s",
            "io.tmp.dirs": str(self._directory / "tmp"),
        }
        (self._directory / "conf").mkdir()
        (self._directory / "tmp").mkdir()
        (self._directory / "conf" / "config.yaml").write_text(yaml.safe_dump(configuration))

    def _start(
        self, name: str, main: str, question: str, *more: str, jvm: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        memory, arguments = self._resources(question)
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
        with (self._directory / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                ["java", *memory, *jvm, *opened, "-cp", self._classpath, main,
                 "--configDir", str(self._directory / "conf"), *arguments, *more],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _resources(self, question: str) -> tuple[list[str], list[str]]:
        """Flags of the JVM and of Flink, which Flink works out from its configuration."""
        done = subprocess.run(
            ["java", "-cp", self._classpath, "org.apache.flink.runtime.util.bash.BashJavaUtils",
             question, "--configDir", str(self._directory / "conf")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith(_RESULT)]
        jvm, arguments = (line.removeprefix(_RESULT).split() for line in lines)
        return jvm, arguments


@contextlib.contextmanager
def flink_cluster(
    flink: Path, directory: Path, task_managers: Mapping[str, str]
) -> Iterator[FlinkCluster]:
    """Runs a cluster, and yields it once all its TaskManagers are there.

    Args:
      flink: directory with ``lib/`` and ``bin/`` of Flink's distribution.
      directory: an empty one, for the configuration, logs and temporary files.
      task_managers: the address of the workers of each, by its name.
    """
    cluster = FlinkCluster(flink, directory)
    try:
        for name, workers in task_managers.items():
            cluster.start_task_manager(name, workers)
        cluster.wait_for_task_managers(*task_managers)
        yield cluster
    finally:
        cluster.stop()


def wait_until(
    condition: Callable[[], _T], what: str, seconds: float = 120, pause: float = 0.2
) -> _T:
    """Waits until a condition gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # The REST interface refuses connections at first, and answers 503 until it has a leader.
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if found := condition():
                return found
        time.sleep(pause)
    raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
