"""What a user gets who installs the wheel, or a worker what Beam stages."""

import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import beamscope
from tests.packaging.conftest import make_environment
from tests.packaging.project import ROOT
from tests.shared_data import shared


def package_files() -> set[str]:
    """Every file of the package, as it lies in an archive."""
    found = {f"beamscope/{name}" for name in
             ("__init__.py", "__init__.pyi", "__main__.py", "_version.py", "py.typed")}  # fmt: skip
    for folder, pattern in (("transforms", "*.py"), ("transforms", "*.html"),
                            ("transforms", "*.yaml"), ("pipelines", "*.py"),
                            ("pipelines", "*.xml"), ("pipelines", "*.yaml"),
                            ("runner_configs", "*.yaml")):  # fmt: skip
        below = list((ROOT / folder).rglob(pattern))
        assert below, (folder, pattern)
        found.update(f"beamscope/{path.relative_to(ROOT)}" for path in below)
    return found


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    metadata = f"beamscope-{beamscope.__version__}.dist-info/"
    info = {name for name in held if name.startswith(metadata)}
    assert sorted(held - info) == sorted(package_files())
    assert any(name.endswith("/licenses/LICENSE") for name in info)


def test_what_beam_stages_holds_the_package_and_no_tests(sdist):
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sorted(package_files() - held) == []
    beside = {name.partition("/")[0] for name in held - package_files()}
    assert beside <= {"LICENSE", "PKG-INFO", "README.md", "beamscope.egg-info",
                      "pyproject.toml", "setup.cfg", "setup.py"}  # fmt: skip


def test_the_environment_has_beamscope_from_the_archive_alone(tmp_path):
    bare = make_environment(tmp_path / "bare", None)
    tried = bare.run(bare.python, "-c", "import apache_beam, beamscope", cwd=tmp_path)
    assert "No module named 'beamscope'" in tried.stderr


def test_imports_from_the_environment(installed, foreign):
    code = "import beamscope; print(beamscope.PlanSlides.__name__, beamscope.__file__)"
    found = installed.run(installed.python, "-c", code, cwd=foreign)
    name, path = found.stdout.split()
    assert name == "PlanSlides", found.stderr
    assert Path(path).is_relative_to(installed.folder)


def test_nothing_installs_beside_beamscope(installed, tmp_path):
    (packages,) = installed.folder.glob("lib/python*/site-packages")
    names = {path.name for path in packages.iterdir()} - {"parent.pth", "__pycache__"}
    assert names == {"beamscope", f"beamscope-{beamscope.__version__}.dist-info"}
    for name in ("transforms", "pipelines", "runner_configs"):
        tried = installed.run(installed.python, "-c", f"import {name}", cwd=tmp_path)
        assert f"No module named '{name}'" in tried.stderr


@pytest.mark.parametrize("module", [False, True], ids=["command", "python -m"])
def test_the_command_beside_foreign_packages(installed, foreign, module):
    command = [installed.python, "-m", "beamscope"] if module else [installed.command]
    version = installed.run(*command, "--version", cwd=foreign)
    assert (version.returncode, version.stdout) == (0, f"beamscope {beamscope.__version__}\n")
    shown = installed.run(*command, "slides", "--help", cwd=foreign)
    assert shown.returncode == 0, shown.stderr
    assert (
        "dataflow_cpu, dataflow_l4, dataflow_l4_processes, dataflow_l4_split, dataflow_t4, direct"
        in " ".join(shown.stdout.split())
    )


@pytest.mark.slow
def test_a_whole_job_beside_foreign_packages(installed, foreign):
    model = shared("models/squeezenet11-imagenet")
    made = installed.run(
        installed.command, "make-slide", "--width", "1200", "--height", "900", "--mpp", "0.5",
        "--levels", "2", "--output", "s.svs", cwd=foreign,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    # What comes along beside the code: the page and the prices of a plan.
    planned = installed.run(
        installed.command, "plan", "slides", "--input", "s.svs", "--output", "out", cwd=foreign
    )
    assert planned.returncode == 0, planned.stderr
    assert "data:image/" in (foreign / "out" / "plan" / "index.html").read_text()
    done = installed.run(
        installed.python, "-m", "beamscope", "slides", "--input", "s.svs", "--model", model,
        "--output", "out", "--verbose", cwd=foreign,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "slides planned: 0 now, 1 before" in done.stdout
    for more in (["report", "out"], ["verify", "out"], ["doctor", "--output", "out"]):
        tried = installed.run(installed.command, *more, cwd=foreign)
        assert tried.returncode == 0, (more, tried.stdout, tried.stderr)
    assert (foreign / "out" / "report.html").stat().st_size > 20_000
    (shard,) = (foreign / "out").glob("embeddings/*.parquet")
    table = pq.read_table(shard)
    description = json.loads((foreign / "out" / "dataset.json").read_text())
    assert table.num_rows == description["counts"]["rows"] > 0
    assert len(table["embedding"][0]) == 512
    assert description["versions"]["beamscope"] == beamscope.__version__


def test_a_missing_runner_is_told_without_a_makefile(installed, foreign):
    tried = installed.run(
        installed.command, "slides", "--input", "s.svs", "--model", "m", "--output", "o",
        "--runner_config", "prism", cwd=foreign, BEAMSCOPE_CACHE=str(foreign / "cache"),
    )  # fmt: skip
    assert tried.returncode == 2
    assert "beamscope fetch-runners" in tried.stderr
    assert "make" not in tried.stderr


def test_the_job_server_is_described_in_the_package(installed, foreign):
    code = "from beamscope.pipelines.runners import fetch; print(fetch._POM, fetch._POM.exists())"
    found = installed.run(installed.python, "-c", code, cwd=foreign)
    path, exists = found.stdout.split()
    assert exists == "True"
    assert Path(path).is_relative_to(installed.folder)
