"""scripts/install_locked.sh: who installs, and what is said of it."""

import subprocess

import pytest

from tests.packaging.project import ROOT

LOCKED = ["--require-hashes", "-r", "a.lock", "-r", "b.lock"]


@pytest.fixture
def environment(tmp_path):
    """Return a folder with a python and a uv that write their arguments down."""

    def make(settings="", uv_status=0):
        programs = {
            "python": f'[ "$3" = config ] && echo "{settings}" && exit\n'
            f'echo pip "$@" >> {tmp_path}/calls',
            "uv": f'echo uv "$@" >> {tmp_path}/calls\nexit {uv_status}',
        }
        for name, body in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        return tmp_path

    return make


def install(folder):
    """Return what was said, and the installers with the last arguments of each."""
    said = subprocess.run(
        [ROOT / "scripts" / "install_locked.sh", folder / "python", *LOCKED[1:]],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    calls = [line.split() for line in (folder / "calls").read_text().splitlines()]
    return said.stdout.strip(), [(call[0], call[-5:]) for call in calls]


def test_uv_installs_with_hashes(environment):
    assert install(environment()) == ("", [("uv", LOCKED)])


def test_an_index_in_pips_settings_is_kept(environment):
    said, calls = install(environment(settings="global.index-url='https://mirror.invalid'"))
    assert said == "pip installs, because its settings name an index"
    assert calls == [("pip", LOCKED)]


def test_pip_installs_where_uv_fails(environment):
    said, calls = install(environment(uv_status=1))
    assert said == "pip installs, because uv could not"
    assert calls == [("uv", LOCKED), ("pip", LOCKED)]


def test_pip_installs_where_uv_is_missing(environment):
    folder = environment()
    (folder / "uv").unlink()
    assert install(folder) == (
        "pip installs, because uv is not in this environment",
        [("pip", LOCKED)],
    )
