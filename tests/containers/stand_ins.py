"""Stand-ins for the base images of containers/, made of Debian's packages and Beam's Go module.

==============  =========================================  =======================================
image           the real one                               the stand-in
==============  =========================================  =======================================
Python          Debian with Python built in /usr/local     Debian with Debian's Python
Beam            boot, and Python packages unused here      boot, built from its module
launcher        a program that starts a Flex Template      an empty file
==============  =========================================  =======================================
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.containers import host
from tests.containers.engine import Engine, RehearsalError, run, say

_BOOT = "github.com/apache/beam/sdks/v2/python/container"
# What python:…-slim has besides Debian's smallest system.
_PACKAGES = "ca-certificates,netbase,tzdata,python3,python3-pip,python3-venv"
_ATTEMPTS, _PAUSE_S = 3, 20


def make_debian(engine: Engine, image: str, scratch: Path) -> None:
    """Make a stand-in for ``python:VERSION-slim-CODENAME``."""
    codename = image.rpartition("-")[2]
    targets = host.output_of(
        "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages", "Origin: Debian",
    )  # fmt: skip
    address = host.mirror(targets.splitlines(), codename)

    def bootstrap(root: Path) -> None:
        # In a namespace of its own, so that its mounts end with it, also where it fails.
        run(
            ["unshare", "--mount", host.programs()["debootstrap"] or "debootstrap",
             "--variant=minbase", f"--include={_PACKAGES}", codename, root,
             *([address] if address else [])],
        )  # fmt: skip

    packed = scratch / "debian"
    again(f"debootstrap {codename}", lambda: bootstrap(_empty(packed)))
    # In python's image, pip installs for the whole system, and Python is `python`.
    (found,) = packed.glob("usr/lib/python3.*/EXTERNALLY-MANAGED")
    found.unlink()
    (packed / "usr" / "bin" / "python").symlink_to("python3")
    shutil.rmtree(packed / "var" / "cache" / "apt" / "archives")
    engine.make(image, lambda root: run(["cp", "-a", f"{packed}/.", root]))
    shutil.rmtree(packed)


def make_beam(engine: Engine, image: str, scratch: Path) -> None:
    """Make a stand-in for ``apache/beam_pythonVERSION_sdk:BEAM_VERSION``."""
    version = image.rpartition(":")[2]
    module = _empty(scratch / "boot")
    go = host.programs()["go"] or "go"
    settings = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}

    def fetch() -> None:
        (module / "go.mod").write_text("module boot\n")
        run([go, "get", f"{_BOOT}@v{version}"], cwd=module, env=settings)

    again(f"Go's module of Beam {version}", fetch)
    run([go, "build", "-o", module / "container", _BOOT], cwd=module, env=settings)

    def fill(root: Path) -> None:
        target = root / "opt" / "apache" / "beam" / "boot"
        target.parent.mkdir(parents=True)
        shutil.copy(module / "container", target)

    engine.make(image, fill)


def make_launcher(engine: Engine, image: str) -> None:
    """Make a stand-in for the launcher of Flex Templates: nothing starts it here."""

    def fill(root: Path) -> None:
        target = root / "opt" / "google" / "dataflow" / "python_template_launcher"
        target.parent.mkdir(parents=True)
        target.touch(0o755)

    engine.make(image, fill)


def again(what: str, fetch: Callable[[], None]) -> None:
    """Fetch something, in several attempts.

    Raises:
      RehearsalError: all failed.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            fetch()
            return
        except RehearsalError as error:
            say(f"{what}: attempt {attempt} of {_ATTEMPTS} failed: {error}")
            if attempt == _ATTEMPTS:
                raise RehearsalError(
                    f"{what} could not be fetched in {_ATTEMPTS} attempts: is there a network?"
                ) from error
            time.sleep(_PAUSE_S)


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
