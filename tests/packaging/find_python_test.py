"""scripts/find_python.sh: which Python `make` takes of several, of broken ones, or of none."""

import os
import stat
import subprocess
import sys

import pytest

from tests.packaging.project import PYTHONS, ROOT

SCRIPT = ROOT / "scripts" / "find_python.sh"
RUNNING = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def path(tmp_path):
    """A folder that is all of PATH, but for the shell's own programs."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def claims(file, version):
    """A program that passes for a Python of some version: it answers what the script asks."""
    return write(file, f'[ "$3" = {version} ]')


def broken(file):
    """As pyenv's shims are for versions that are not chosen."""
    return write(file, "echo 'pyenv: command not found' >&2; exit 127")


def find(path, *arguments, **variables):
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments],
        env={"PATH": str(path), "HOME": str(path.parent / "home"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_supported_versions_are_those_of_setup_py():
    assert f'SUPPORTED="{" ".join(reversed(PYTHONS))}"' in SCRIPT.read_text()


def test_a_real_python(path):
    found = find(path, PYTHON=sys.executable)
    assert (found.returncode, found.stdout) == (0, f"{sys.executable}\n")
    other = next(version for version in PYTHONS if version != RUNNING)
    refused = find(path, other, PYTHON=sys.executable)
    assert refused.returncode == 1


def test_the_newest_is_taken(path):
    for version in ("3.11", "3.13", "3.14"):
        claims(path / f"python{version}", version)
    assert find(path).stdout == f"{path / 'python3.13'}\n"
    assert find(path, "3.11").stdout == f"{path / 'python3.11'}\n"


def test_one_that_does_not_start_is_passed_over(path):
    broken(path / "python3.13")
    claims(path / "python3.12", "3.12")
    assert find(path).stdout == f"{path / 'python3.12'}\n"


def test_a_plain_name_counts_by_its_version(path):
    claims(path / "python3", "3.12")
    assert find(path).stdout == f"{path / 'python3'}\n"


@pytest.mark.parametrize(
    ("folder", "variable"),
    [("home/.pyenv", None), ("elsewhere", "PYENV_ROOT")],
)
def test_pyenv_keeps_its_versions_in_a_folder(path, folder, variable):
    broken(path / "python3.13")
    kept = claims(path.parent / folder / "versions" / "3.13.0" / "bin" / "python", "3.13")
    variables = {variable: str(path.parent / folder)} if variable else {}
    assert find(path, **variables).stdout == f"{kept}\n"


def test_none_is_one_clear_line(path):
    claims(path / "python3", "3.10")
    found = find(path)
    assert found.returncode == 1
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert "3.13 3.12 3.11" in line
    assert "make PYTHON=" in line


def test_a_python_that_is_given_is_the_only_one(path):
    claims(path / "python3.13", "3.13")
    mine = claims(path / "mine", "3.11")
    assert find(path, PYTHON=str(mine)).stdout == f"{mine}\n"
    found = find(path, PYTHON=str(claims(path / "old", "3.9")))
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert f"PYTHON={path / 'old'}" in line


def test_an_unsupported_version_is_refused(path):
    found = find(path, "3.10")
    assert found.returncode == 2
    assert "3.10" in found.stderr


def test_make_says_so_where_there_is_none(path, tmp_path):
    make = "/usr/bin/make"
    if not os.path.exists(make):  # noqa: PTH110
        pytest.skip("make is not at /usr/bin")
    done = subprocess.run(
        [make, "env", f"VENV={tmp_path / 'venv'}", f"PYTHON={path / 'none'}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"beamscope: PYTHON={path / 'none'} does not start" in done.stderr
    assert not (tmp_path / "venv").exists()
