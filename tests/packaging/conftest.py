"""A wheel and a source archive of this checkout, each installed where nothing else of ours is."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.stager import Stager

from tests.packaging.project import copy_sources

NO_INDEX = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment that has the dependencies of the running one, and a package of ours.

    Attributes:
      folder: of the environment.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "beamscope"

    def run(
        self, *arguments: str | Path, cwd: Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program; neither this checkout nor the caller's PYTHONPATH is seen."""
        inherited: Mapping[str, str] = os.environ
        kept = {name: inherited[name] for name in inherited if name != "PYTHONPATH"}
        return subprocess.run(
            list(map(str, arguments)),
            cwd=cwd,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


def make_environment(folder: Path, archive: Path | None) -> Environment:
    """Make an environment and install an archive of ours into it; None leaves it without one."""
    venv.create(folder, with_pip=False, symlinks=True)
    found = Environment(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A plain path: `.pth` files in there, an editable install's among them, are not looked at.
    parents = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (packages / "parent.pth").write_text("\n".join(sorted(parents)))
    if archive is not None:
        # The parent's beamscope is seen by its metadata, and is not to count as installed.
        install = ("-m", "pip", "--python", found.python, "install", *NO_INDEX)
        subprocess.run(
            [sys.executable, *map(str, install), "--ignore-installed", str(archive)],
            check=True,
            cwd=folder,
        )
    return found


@pytest.fixture(scope="package")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    sources = copy_sources(tmp_path_factory.mktemp("sources"))
    build = ("-m", "pip", "wheel", *NO_INDEX, "--wheel-dir", str(folder), str(sources))
    subprocess.run([sys.executable, *build], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="package")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Beam stages for ``--setup_file``."""
    sources = copy_sources(tmp_path_factory.mktemp("sources"))
    folder = tmp_path_factory.mktemp("staged")
    options = PipelineOptions([f"--setup_file={sources / 'setup.py'}"])
    Stager.create_job_resources(options, str(folder))
    (found,) = folder.glob("*.tar.gz")
    return found


@pytest.fixture(scope="package", params=["wheel", "sdist"])
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """The wheel, and what Beam stages, each installed in an environment of its own."""
    archive: Path = request.getfixturevalue(request.param)
    return make_environment(tmp_path_factory.mktemp("environment"), archive)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A user's folder, with packages that are called as beamscope's folders are."""
    for name in ("transforms", "pipelines", "runner_configs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('the user\\'s {name}')\n")
    return tmp_path
