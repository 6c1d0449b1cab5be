"""Jobs on Prism, whose workers Beam's own boot starts in the image of containers/Dockerfile.

`make image-rehearsal` runs this, as root and in namespaces of its own (rehearsal.py). There is no
network but 127.0.0.1: a worker gets the staged package from Prism, and nothing from an index.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beamscope._version import __version__
from tests.containers.container import Container, loopback_up
from tests.containers.dockerfile import copied
from tests.containers.rehearsal import DOCKERFILE, SCRATCH
from tests.packaging.project import locked
from tests.runners.fetched import fetched
from tests.runners.jobs import (
    JOBS,
    ROOT,
    Dataset,
    Prepared,
    assert_same,
    read_dataset,
    wait_for_parts,
)
from tests.runners.worker_pool import stop, wait_for_port
from tests.shared_data import SHARED, shared

PORT = 50000  # of boot; it has no flag for another
IN_IMAGE = (
    "--runner_config=prism", "--environment_type=EXTERNAL",
    f"--environment_config=localhost:{PORT}", "--setup_file=./setup.py",
)  # fmt: skip
SLIDES, FILMS = JOBS
# Prism gives a worker 60 s from its start to its first word, in which boot makes an environment and
# installs the package, which takes it 35 s of a core. So the workers go before whatever else this
# machine does, and get another chance.
FIRST = "-10"
TOO_LATE = "didn't get control connection"
ATTEMPTS = 3
BUMPED = f"{__version__}.post1"


def slides() -> list[str]:
    return [
        "--input", str(shared("data/slides/CMU-1-Small-Region.svs")),
        str(shared("data/slides/tcga_generic_pyramid_mpp0.5.tiff")), "--block_size", "16",
    ]  # fmt: skip


def films() -> list[str]:
    return ["--input", str(shared("data/xrays/kermany/train/NORMAL")), "--block_size", "32"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    fetched("prism")
    loopback_up()
    container = Container.load(Path(os.environ[SCRATCH]) / f"{DOCKERFILE.name}.json")
    container.enter({SHARED: False, tmp_path_factory.getbasetemp(): True})
    return container


@pytest.fixture(scope="module")
def pool(worker, tmp_path_factory):
    """The log of a pool that runs in the image."""
    log = tmp_path_factory.mktemp("pool") / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["nice", f"--adjustment={FIRST}", *worker.command(*worker.entrypoint, "-worker_pool")],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        # Linux shares a processor among sessions first, where it groups them, and then within.
        group = Path(f"/proc/{process.pid}/autogroup")
        if group.exists():
            group.write_text(FIRST)
        wait_for_port(PORT, process)
        yield log
    finally:
        stop(process)


@pytest.fixture(scope="module", params=[(SLIDES, slides), (FILMS, films)], ids=["slides", "films"])
def prepared(request):
    job, flags = request.param
    return Prepared(job, flags())


@pytest.fixture(scope="module")
def expected(prepared, tmp_path_factory):
    """What one process on this machine makes of it."""
    return prepared.run(tmp_path_factory.mktemp("expected"), "--runner_config=direct")


def run_in_image(prepared: Prepared, output: Path, folder: Path = ROOT) -> Dataset:
    """Run a job from a checkout, whose workers are in the image; read what it wrote."""
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            prepared.command(output, *IN_IMAGE),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode == 0:
            return read_dataset(output, prepared.job)
        if TOO_LATE not in said:
            break
    pytest.fail(said[-4000:])


def versions_of_workers(output: Path) -> dict[str, str]:
    """The versions on the workers, of which all have the same."""
    (record,) = json.loads((output / "dataset.json").read_text())["workers"]
    return record["versions"]


def python_in(container: Container) -> str:
    said = subprocess.check_output(container.command("python", "--version"), text=True)
    return said.removeprefix("Python ").strip()


def test_workers_in_the_image_give_the_same_rows(worker, pool, prepared, expected, tmp_path):
    assert expected.rows.num_rows > 200
    assert_same(run_in_image(prepared, tmp_path), expected)
    found = versions_of_workers(tmp_path)
    lock = locked("cpu", ".".join(python_in(worker).split(".")[:2]))
    assert found.pop("python") == python_in(worker)
    assert found.pop("beamscope") == __version__
    assert found == {name: lock[name] for name in found}
    assert {"tensorflow", "openvino", "tfx-bsl", "apache-beam"} <= set(found)


def test_a_worker_that_is_killed_in_the_middle_costs_no_finished_block(pool, tmp_path):
    prepared = Prepared(SLIDES, [*slides()[:-2], "--block_size=4"])
    for _ in range(ATTEMPTS):
        job = prepared.start(tmp_path / "killed", *IN_IMAGE)
        try:
            done = wait_for_parts(tmp_path / "killed", job, 3, seconds=400)
            break
        except AssertionError:
            assert TOO_LATE in job.communicate()[0]
    said = subprocess.check_output(["pgrep", "-f", "sdk_worker_main"], text=True)
    for process in said.split():
        os.kill(int(process), signal.SIGKILL)
    written = {part: part.stat().st_mtime_ns for part in done}
    said, _ = job.communicate(timeout=400)
    # Prism retries nothing: the command itself goes on, with a new Prism and a new worker.
    assert job.returncode == 0, said
    assert "a worker process or the runner died; it goes on in a new process" in said
    assert {part: part.stat().st_mtime_ns for part in done} == written
    assert_same(
        read_dataset(tmp_path / "killed", SLIDES),
        prepared.run(tmp_path / "expected", "--runner_config=direct"),
    )


def test_workers_run_the_package_that_is_staged_not_the_one_of_the_image(worker, pool, tmp_path):
    said = subprocess.check_output(worker.command("beamscope", "--version"), text=True)
    assert said.split() == ["beamscope", __version__]
    newer = tmp_path / "newer"
    newer.mkdir()
    for name in copied(DOCKERFILE.read_text()):
        source = ROOT / name
        (newer / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, newer / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, newer / name)
    file = newer / "beamscope" / "_version.py"
    file.write_text(re.sub(r'"[^"]+"$', f'"{BUMPED}"', file.read_text(), flags=re.M))
    slide = shared("data/slides/CMU-1-Small-Region.svs")
    prepared = Prepared(SLIDES, ["--input", str(slide)])
    run_in_image(prepared, tmp_path / "out", newer)
    assert versions_of_workers(tmp_path / "out")["beamscope"] == BUMPED


def test_nothing_outside_was_reached(worker):
    script = "import socket; socket.create_connection(('192.0.2.1', 443), 5)"
    done = subprocess.run(
        worker.command("python", "-c", script), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr
    assert sys.executable not in " ".join(worker.environment.values())
