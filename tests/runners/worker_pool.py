"""A pool of Beam's Python workers: processes of their own, as beside a Flink TaskManager."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.runners.jobs import ROOT


@dataclasses.dataclass(frozen=True)
class WorkerPool:
    """A running pool.

    Attributes:
      address: ``ADDRESS:PORT``, for ``--environment_config``.
      process: which starts the workers.
    """

    address: str
    process: subprocess.Popen[bytes]

    def workers(self) -> list[int]:
        """Process ids of the workers that are running."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True)
        return [int(word) for word in found.stdout.split()]


@contextlib.contextmanager
def worker_pool(
    log: Path, host: str = "127.0.0.1", port: int | None = None
) -> Iterator[WorkerPool]:
    """Runs a pool at a loopback address; what it and its workers say goes to `log`."""
    port = port or free_port()
    address = f"{host}:{port}"
    # The pool starts its workers as plain "python".
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with log.open("wb") as output:
        pool = subprocess.Popen(
            [sys.executable, "-m", "tests.runners.pool_server", address],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_port(port, pool, host)
        yield WorkerPool(address, pool)
    finally:
        stop(pool)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_for_port(
    port: int, process: subprocess.Popen[bytes], host: str = "127.0.0.1", seconds: float = 60
) -> None:
    """Waits until a process listens on a port; fails where it ends instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{process.args} does not listen on port {port}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that leads a session, and every process that it started in it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
