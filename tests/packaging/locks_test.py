"""The locks: complete for every supported Python, hashed, and one with another."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.project import (
    APPLE,
    LINUX,
    LOCKS,
    PYTHONS,
    ROOT,
    environment,
    locked,
    pins,
    setup_arguments,
)

FILES = sorted(
    {
        "requirements-pip.lock",
        "requirements-uv.lock",
        "requirements-audit.lock",
        *(name for names in LOCKS.values() for name in names),
    }
)
SYSTEMS = pytest.mark.parametrize("system", [LINUX, APPLE], ids=["linux", "apple silicon"])


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_hashes(name):
    assert (ROOT / name).exists()
    for requirement, hashes in pins(name):
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", found) for found in hashes)
    # Nothing of the machine that resolved.
    assert "://" not in (ROOT / name).read_text()
    assert "--index" not in (ROOT / name).read_text()


@SYSTEMS
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", LOCKS)
def test_what_setup_py_asks_for_is_locked(extra, python, system):
    arguments = setup_arguments()
    asked = [*arguments["install_requires"], *arguments["extras_require"].get(extra, ())]
    versions = locked(extra, python, system)
    for text in asked:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate(environment(python, system)):
            continue
        assert canonicalize_name(requirement.name) in versions, text
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), text


@pytest.mark.parametrize("python", PYTHONS)
def test_cuda_is_locked_for_linux_alone(python):
    cuda = {"nvidia-cudnn-cu12", "nvidia-cublas-cu12"}
    assert cuda <= set(locked("gpu", python, LINUX))
    assert not cuda & set(locked("gpu", python, APPLE))
    assert not cuda & set(locked("test", python, LINUX))


def test_the_locks_agree():
    # What runs, what runs on a GPU and what is tested are the same versions.
    for python in PYTHONS:
        runs = locked("", python)
        for extra in LOCKS:
            assert runs.items() <= locked(extra, python).items()


@pytest.mark.parametrize("python", PYTHONS)
def test_what_builds_is_locked(python):
    # The package is built without isolation, from the setuptools of the lock alone.
    project = (ROOT / "pyproject.toml").read_text()
    (needed,) = re.findall(r'requires = \["setuptools>=(\d+)"\]', project)
    assert int(locked("", python)["setuptools"].partition(".")[0]) >= int(needed)
