"""`beamscope fetch-runners`, with stand-ins for Go, Maven and the package index."""

import importlib.metadata
import io
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from beamscope.pipelines.main import main
from beamscope.pipelines.runners import fetch

BEAM = importlib.metadata.version("apache-beam")
TARGETS = {"prism": "prism", "flink-job-server": "flink-job-server.jar", "flink": "flink"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stand-ins that write down how they were called: a folder that is all of PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    write(folder / "go", f'echo "$@" >> {tmp_path}/calls; echo prism > "$GOBIN/prism"')
    write(
        folder / "mvn",
        f'test -f pom.xml || exit 9; echo "$@" >> {tmp_path}/calls; '
        "mkdir target; echo jar > target/flink-job-server.jar",
    )
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def write(file, text):
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def calls(tmp_path):
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def make_index(folder, version, members):
    """A source archive of Flink's jars, and pip told to look at it alone."""
    folder.mkdir()
    name = f"apache_flink_libraries-{version}"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: apache-flink-libraries\nVersion: {version}\n",
        "setup.py": "from setuptools import setup\n"
        f"setup(name='apache-flink-libraries', version='{version}', py_modules=[])\n",
        **members,
    }
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))


@pytest.fixture
def index(tmp_path, monkeypatch):
    make_index(
        tmp_path / "index",
        fetch.FLINK_VERSION,
        {"deps/lib/flink-dist.jar": "jar", "deps/bin/config.sh": "sh", "deps/examples/x": "x"},
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "off")


def test_all_three(cache, tools, index, tmp_path, capfd):
    assert main(["fetch-runners"]) == 0
    assert (cache / "prism").read_text() == "prism\n"
    assert (cache / "flink-job-server.jar").read_text() == "jar\n"
    flink = {str(path.relative_to(cache / "flink")) for path in (cache / "flink").rglob("*.*")}
    assert flink == {"lib/flink-dist.jar", "bin/config.sh"}
    mvn, go = sorted(calls(tmp_path))
    assert go == f"install github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM}"
    assert mvn.endswith(f"package -Dbeam={fetch.JOB_SERVER_VERSION} -Dflink=1.19")
    assert sorted(path.name for path in cache.iterdir()) == sorted(
        [*TARGETS.values(), *(f"{target}.version" for target in TARGETS.values())]
    )

    # A second time there is nothing to do.
    assert main(["fetch-runners"]) == 0
    assert len(calls(tmp_path)) == 2
    assert capfd.readouterr().err.count("is there") == 3


def test_what_is_named_twice_is_fetched_once(cache, tools, tmp_path):
    assert main(["fetch-runners", "prism", "prism"]) == 0
    assert len(calls(tmp_path)) == 1


def test_what_is_named_at_another_version(cache, tools, tmp_path):
    assert main(["fetch-runners", "flink-job-server"]) == 0
    again = ["fetch-runners", "flink-job-server", "--job_server_version=2.70.0",
             "--flink_version=2.2.1"]  # fmt: skip
    assert main(again) == 0
    assert [call.split()[-2:] for call in calls(tmp_path)] == [
        [f"-Dbeam={fetch.JOB_SERVER_VERSION}", "-Dflink=1.19"],
        ["-Dbeam=2.70.0", "-Dflink=2.2"],
    ]
    assert (cache / "flink-job-server.jar.version").read_text() == "2.70.0 for Flink 2.2\n"


@pytest.mark.parametrize(("runner", "program"), [("prism", "go"), ("flink-job-server", "mvn")])
def test_a_program_that_is_missing(cache, tools, monkeypatch, capfd, runner, program):
    monkeypatch.setenv("PATH", str(tools))
    (tools / program).unlink()
    assert main(["fetch-runners", runner]) == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert f"{runner} needs {program}, which is not installed" in line
    assert not (cache / TARGETS[runner]).exists()


def test_python_without_pip(cache, monkeypatch, capfd):
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    assert main(["fetch-runners", "flink"]) == 1
    assert f"flink needs pip, which {sys.executable} does not have" in capfd.readouterr().err


def test_one_that_fails_does_not_keep_the_others_away(cache, tools, index, capfd):
    write(tools / "go", "echo 'no such version' >&2; exit 1")
    assert main(["fetch-runners"]) == 1
    said = capfd.readouterr().err
    assert "no such version" in said
    assert "prism could not be fetched: `go …` failed with status 1" in said
    assert not (cache / "prism").exists()
    assert (cache / "flink" / "lib").is_dir()
    assert (cache / "flink-job-server.jar").exists()
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []


def test_one_that_was_cut_off_is_fetched_again(cache, tools, tmp_path):
    cache.mkdir()
    (cache / "prism").write_text("half")
    assert main(["fetch-runners", "prism"]) == 0
    assert (cache / "prism").read_text() == "prism\n"
    assert len(calls(tmp_path)) == 1


def test_a_fetch_that_fails_keeps_what_was_there(cache, tools):
    assert main(["fetch-runners", "flink-job-server"]) == 0
    write(tools / "mvn", "exit 1")
    assert main(["fetch-runners", "flink-job-server", "--job_server_version=2.70.0"]) == 1
    assert (cache / "flink-job-server.jar").read_text() == "jar\n"
    assert fetch.JOB_SERVER_VERSION in (cache / "flink-job-server.jar.version").read_text()


def test_an_archive_without_jars(cache, tools, tmp_path, monkeypatch, capfd):
    make_index(tmp_path / "empty", fetch.FLINK_VERSION, {"deps/examples/x": "x"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "off")
    assert main(["fetch-runners", "flink"]) == 1
    assert "holds no deps/lib" in capfd.readouterr().err
    assert not (cache / "flink").exists()


def test_errors(cache, capfd):
    assert main(["fetch-runners", "spark"]) == 2
    assert "unknown runner 'spark'; the runners are prism, flink-job-server, flink" in (
        capfd.readouterr().err
    )
    assert main(["fetch-runners", "--versions"]) == 2
    cache.write_text("a file, not a folder")
    assert main(["fetch-runners", "prism"]) == 2
    assert str(cache) in capfd.readouterr().err.splitlines()[-1]


def test_make_runners_is_this_command():
    makefile = (Path(__file__).resolve().parents[3] / "Makefile").read_text()
    assert "$(BIN)/beamscope fetch-runners" in makefile
