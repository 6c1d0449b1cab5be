"""Fetch the runners that some runner configs need into the user's cache.

================  ===================================================  ============
in the cache      contents                                             needs
================  ===================================================  ============
``prism``         Beam's Prism runner, built from its Go module        Go
``flink-job-…``   Beam's job server for Flink, from Maven's modules    Maven, Java
``flink``         the jars of a standalone Flink, from a package index pip
================  ===================================================  ============
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

# The newest job server whose modules the registry had completely; see docs/running.md.
FLINK_VERSION = "1.19.3"
JOB_SERVER_VERSION = "2.62.0"

_PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"
_FLINK_JARS = "apache-flink-libraries"
_POM = Path(__file__).parent / "flink_job_server" / "pom.xml"


class FetchError(Exception):
    """A runner could not be fetched; the message gives the reason in one line."""


@dataclasses.dataclass(frozen=True)
class Runner:
    """A runner to fetch.

    Attributes:
      name: its name on the command line.
      version: its version, which is written beside it, so that another version is fetched anew.
      target: its file or folder in the cache.
      fetch: function that puts `target` into a given folder, or raises `FetchError`.
    """

    name: str
    version: str
    target: str
    fetch: Callable[[Path], None]


def runners(
    flink_version: str = FLINK_VERSION, job_server_version: str = JOB_SERVER_VERSION
) -> dict[str, Runner]:
    """Return every runner that can be fetched, by name.

    Args:
      flink_version: version of the standalone Flink; the job server matches its series.
      job_server_version: version of Beam's job server.
    """
    # Prism must have the version of the Beam that submits.
    beam = importlib.metadata.version("apache-beam")
    series = flink_version.rpartition(".")[0]
    found = (
        Runner("prism", beam, "prism", functools.partial(_fetch_prism, version=beam)),
        Runner(
            "flink-job-server",
            f"{job_server_version} for Flink {series}",
            "flink-job-server.jar",
            functools.partial(_fetch_job_server, version=job_server_version, series=series),
        ),
        Runner(
            "flink", flink_version, "flink", functools.partial(_fetch_flink, version=flink_version)
        ),
    )
    return {runner.name: runner for runner in found}


def fetch(runner: Runner, cache: Path, say: Callable[[str], None]) -> None:
    """Put a runner into the cache, unless it is already there in the right version.

    The version is written last, so that an interrupted fetch is done again.

    Args:
      runner: the runner.
      cache: the cache folder; it is created if it is missing.
      say: function that shows one line of progress.

    Raises:
      FetchError: a required program is missing or failed.
    """
    target, stamp = cache / runner.target, cache / f"{runner.target}.version"
    if target.exists() and stamp.exists() and stamp.read_text().strip() == runner.version:
        say(f"{runner.name} {runner.version} is there")
        return
    say(f"fetching {runner.name} {runner.version}")
    start = time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=cache) as folder:
        runner.fetch(Path(folder))
        stamp.unlink(missing_ok=True)
        _remove(target)
        (Path(folder) / runner.target).rename(target)
    stamp.write_text(f"{runner.version}\n")
    megabytes = _size(target) / 1e6
    say(f"{runner.name} {runner.version}: {megabytes:.0f} MB in {time.monotonic() - start:.0f} s")


def _fetch_prism(folder: Path, version: str) -> None:
    _need("go", "prism", "Go (https://go.dev)")
    _run("prism", ["go", "install", f"{_PRISM}@v{version}"], folder, GOBIN=str(folder))


def _fetch_job_server(folder: Path, version: str, series: str) -> None:
    _need("mvn", "flink-job-server", "Apache Maven and a JDK")
    shutil.copy(_POM, folder)
    # Maven remembers missing modules for a day: -U asks the registry again.
    _run(
        "flink-job-server",
        ["mvn", "-U", "--batch-mode", "--quiet", "package", f"-Dbeam={version}",
         f"-Dflink={series}"],
        folder,
    )  # fmt: skip
    (folder / "target" / "flink-job-server.jar").rename(folder / "flink-job-server.jar")


def _fetch_flink(folder: Path, version: str) -> None:
    if importlib.util.find_spec("pip") is None:
        raise FetchError(f"flink needs pip, which {sys.executable} does not have")
    _run(
        "flink",
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--no-binary", ":all:", "--dest", str(folder), f"{_FLINK_JARS}=={version}"],
        folder,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    # The jars are in a source archive; installing it would pack and unpack 300 MB again.
    with tarfile.open(archive) as content:
        for member in content:
            # NAME-VERSION/deps/lib/x.jar becomes flink/lib/x.jar.
            parts = PurePosixPath(member.name).parts
            if parts[1:2] == ("deps",) and parts[2:3] in (("lib",), ("bin",)):
                member.name = str(PurePosixPath(*parts[2:]))
                content.extract(member, folder / "flink", filter="data")
    if not (folder / "flink" / "lib").is_dir():
        raise FetchError(f"flink: {archive.name} holds no deps/lib")


def _need(program: str, runner: str, what: str) -> None:
    if shutil.which(program) is None:
        raise FetchError(f"{runner} needs {program}, which is not installed: install {what}")


def _run(runner: str, command: list[str], folder: Path, **variables: str) -> None:
    """Run a program and show its own messages."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **variables}, check=False)
    if done.returncode:
        program = Path(command[0]).name
        raise FetchError(
            f"{runner} could not be fetched: `{program} …` failed with status {done.returncode}"
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
