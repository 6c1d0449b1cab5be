"""What setup.py and the locks say, read without installing anything."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    "": ("requirements.lock",),
    "cpu": ("requirements.lock", "requirements-cpu.lock"),
    "gpu": ("requirements.lock", "requirements-gpu.lock"),
    "test": ("requirements.lock", "requirements-cpu.lock", "requirements-test.lock"),
    "docs": ("requirements.lock", "requirements-cpu.lock", "requirements-test.lock"),
}
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
APPLE = {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}


@functools.cache
def setup_arguments() -> dict[str, Any]:
    """The keywords that setup.py gives to setuptools."""
    code = (
        "import json, runpy, setuptools; "
        "setuptools.setup = lambda **given: print(json.dumps(given)); "
        "runpy.run_path('setup.py')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


PYTHONS = tuple(
    version
    for version in (f"3.{minor}" for minor in range(30))
    if version in SpecifierSet(setup_arguments()["python_requires"])
)


def environment(python: str, system: dict[str, str]) -> dict[str, str]:
    """The values of markers on a Python such as ``3.12`` and a system."""
    here = {name: str(value) for name, value in default_environment().items()}
    versions = {"python_version": python, "python_full_version": f"{python}.0"}
    return here | {"platform_python_implementation": "CPython"} | versions | system


@functools.cache
def pins(name: str) -> tuple[tuple[Requirement, tuple[str, ...]], ...]:
    """Every requirement of a lock, and its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        found.append((Requirement(requirement), tuple(hashes)))
    return tuple(found)


def locked(extra: str, python: str, system: dict[str, str] = LINUX) -> dict[str, str]:
    """The versions that the locks of an extra install, by name."""
    found: dict[str, str] = {}
    for name in LOCKS[extra]:
        for requirement, _ in pins(name):
            if requirement.marker is None or requirement.marker.evaluate(
                environment(python, system)
            ):
                (specifier,) = requirement.specifier
                assert specifier.operator == "=="
                assert requirement.name not in found, f"{requirement.name} is locked twice"
                found[requirement.name] = specifier.version
    return found


def copy_sources(target: Path) -> Path:
    """Copy what the package is made of, tests too: building it leaves files beside setup.py."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("beamscope", "pipelines", "transforms", "runner_configs", "tests"):
        shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target
