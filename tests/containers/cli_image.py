"""The command of containers/Dockerfile.cli, as its user and as another, on read-only files.

`make image-rehearsal` runs this, as root and in namespaces of its own (rehearsal.py).
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.containers.container import Container
from tests.containers.rehearsal import CLI, SCRATCH
from tests.runners.jobs import JOBS, Prepared, assert_same, read_dataset
from tests.shared_data import SHARED, shared

SLIDES = JOBS[0]
ANOTHER = "4321:4321"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder of this machine that any user can write."""
    folder = tmp_path_factory.getbasetemp() / "cli"
    folder.mkdir()
    folder.chmod(0o777)
    folder.parent.chmod(0o711)
    Path(os.environ[SCRATCH]).chmod(0o711)
    return folder


@pytest.fixture(scope="module")
def command_line(work):
    container = Container.load(Path(os.environ[SCRATCH]) / f"{CLI.name}.json")
    container.enter({SHARED: False, work: True}, frozen=True)
    return container


def run(container, *arguments, user=None):
    return subprocess.run(
        container.command(*container.entrypoint, *arguments, user=user),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_does_not_run_as_root(command_line):
    assert int(command_line.user.partition(":")[0]) > 0
    said = subprocess.check_output(command_line.command("id", "-u"), text=True)
    assert said.strip() == command_line.user.partition(":")[0]
    done = subprocess.run(
        command_line.command("touch", "/opt/beamscope/x", user="0:0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Read-only file system" in done.stderr


def test_doctor_finds_nothing_wrong(command_line):
    done = run(command_line, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {check["state"] for check in json.loads(done.stdout)} <= {"ok", "note"}


@pytest.mark.parametrize("user", [None, ANOTHER], ids=["its user", "another user"])
def test_embeds_a_slide(command_line, work, tmp_path, user):
    slide = str(shared("data/slides/CMU-1-Small-Region.svs"))
    model = str(shared("models/squeezenet11-imagenet"))
    output = work / f"out-{user}"
    done = run(
        command_line, "slides", "--input", slide, "--model", model, "--output", str(output),
        user=user,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (output / "dataset.json").stat().st_uid == int((user or command_line.user).split(":")[0])
    expected = Prepared(SLIDES, ["--input", slide]).run(tmp_path, "--runner_config=direct")
    assert expected.rows.num_rows > 0
    assert_same(read_dataset(output, SLIDES), expected)
