"""How a program of an unpacked image is started, without an image."""

import subprocess

import pytest

from tests.containers.container import Container
from tests.containers.engine import RehearsalError
from tests.containers.stand_ins import again

CONFIG = {
    "Env": ["PATH=/usr/bin:/bin", "NAME=a=b"],
    "Entrypoint": ["/boot"],
    "WorkingDir": "/opt/x",
    "User": "10001:10001",
}


def test_has_what_the_image_says(tmp_path):
    container = Container.of(tmp_path, CONFIG)
    assert container.environment == {"PATH": "/usr/bin:/bin", "NAME": "a=b"}
    assert (container.entrypoint, container.folder, container.user) == (
        ["/boot"], "/opt/x", "10001:10001",
    )  # fmt: skip
    container.save(tmp_path / "saved.json")
    assert Container.load(tmp_path / "saved.json") == container


def test_an_image_that_says_nothing_is_root_in_the_root(tmp_path):
    container = Container.of(tmp_path, {})
    assert (container.entrypoint, container.folder, container.user) == ([], "/", "0:0")
    assert "/usr/local/bin" in container.environment["PATH"].split(":")


def test_a_program_sees_the_images_variables_and_no_others(tmp_path):
    command = Container.of(tmp_path, {**CONFIG, "WorkingDir": str(tmp_path)}).command(
        "sh", "-c", 'pwd; env; echo "$NAME"', EXTRA="1"
    )
    assert command[:4] == ["chroot", "--userspec=10001:10001", "--groups=", str(tmp_path)]
    # What changes the root needs root; the rest of the line works for everyone.
    said = subprocess.check_output(command[4:], text=True, env={"PATH": "/usr/bin:/bin", "X": "1"})
    folder, *variables, name = said.splitlines()
    assert folder == str(tmp_path)
    assert {"EXTRA=1", "NAME=a=b", "PATH=/usr/bin:/bin"} <= set(variables)
    assert "X=1" not in variables
    assert name == "a=b"


def test_another_user_and_folder(tmp_path):
    command = Container.of(tmp_path, CONFIG).command("id", user="5:6", folder="/tmp")
    assert "--userspec=5:6" in command
    assert "--chdir=/tmp" in command
    assert command[-1] == "id"


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_fetches_again_what_could_not_be_fetched(failures, capsys, monkeypatch):
    monkeypatch.setattr("tests.containers.stand_ins._PAUSE_S", 0)
    left = [RehearsalError("no answer")] * failures

    def fetch():
        if left:
            raise left.pop()

    again("a module", fetch)
    assert capsys.readouterr().out.count("no answer") == failures


def test_says_so_if_nothing_can_be_fetched(monkeypatch):
    monkeypatch.setattr("tests.containers.stand_ins._PAUSE_S", 0)

    def fetch():
        raise RehearsalError("no answer")

    with pytest.raises(RehearsalError, match="a module could not be fetched in 3 attempts"):
        again("a module", fetch)
