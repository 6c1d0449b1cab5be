"""A Slurm of one node on 127.0.0.1, of the programs that are installed on this machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gcs import free_port

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
_SECONDS = 60
_CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=3 RealMemory=1000
PartitionName=main Nodes={host} Default=YES State=UP
"""


@contextlib.contextmanager
def slurm_cluster(folder: Path) -> Iterator[None]:
    """Run Slurm; every process that is started meanwhile finds it by the environment.

    Skips the test where it is not installed.

    Args:
      folder: for its state, keys and logs.
    """
    found = {name: _program(name) for name in _PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.skip(f"Slurm is not installed: no {', '.join(missing)} (Debian: slurm-wlm)")
    # It refuses a key, a socket and a state that others could write to.
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(
        _CONF.format(
            host=host,
            user=getpass.getuser(),
            folder=folder,
            controller=free_port(),
            daemon=free_port(),
        )
    )
    munged = [
        found["munged"], "--foreground", "--force", f"--key-file={key}",
        f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
    ]  # fmt: skip
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(conf)
    with contextlib.ExitStack() as stack:
        stack.callback(_restore, before)
        _start(stack, munged, folder / "munged.out")
        _until(lambda: (folder / "munge.socket").exists(), folder)
        _start(stack, [found["slurmctld"], "-D"], folder / "slurmctld.out")
        _start(stack, [found["slurmd"], "-D"], folder / "slurmd.out")
        _until(lambda: "idle" in slurm("sinfo", "--noheader", "--format=%T"), folder)
        yield


def slurm(*command: str) -> str:
    """Return what a command of Slurm prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout + done.stderr).strip()


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


def _restore(before: str | None) -> None:
    os.environ.pop("SLURM_CONF", None)
    if before is not None:
        os.environ["SLURM_CONF"] = before


def _start(stack: contextlib.ExitStack, command: list[str | None], output: Path) -> None:
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=stack.enter_context(output.open("w")),
        stderr=subprocess.STDOUT,
    )

    def stop() -> None:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)


def _until(is_so: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + _SECONDS
    while not is_so():
        if time.monotonic() > end:
            logs = [f"{path.name}: {path.read_text()[-500:]}" for path in folder.glob("*.out")]
            pytest.skip(f"Slurm does not come up here: {logs}")
        time.sleep(0.2)
