"""What an index shows of the package, and that each fact is written in one place."""

import email
import re
import zipfile
from pathlib import Path

import pytest

import beamscope
from tests.packaging.project import PYTHONS, ROOT, setup_arguments


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_version_is_written_once(metadata):
    assert re.fullmatch(r"\d+\.\d+\.\d+", beamscope.__version__)
    assert metadata["Version"] == beamscope.__version__
    written = f'"{beamscope.__version__}"'
    sources = [ROOT / "setup.py", ROOT / "pyproject.toml"]
    for folder in ("beamscope", "transforms", "pipelines"):
        sources += (ROOT / folder).rglob("*.py")
    found = [path.relative_to(ROOT) for path in sources if written in path.read_text()]
    assert found == [Path("beamscope/_version.py")]


def test_licence(metadata):
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert not any("License ::" in line for line in metadata.get_all("Classifier"))


def test_pythons(metadata):
    assert PYTHONS == ("3.11", "3.12", "3.13")
    prefix = "Programming Language :: Python :: 3."
    told = [line for line in metadata.get_all("Classifier") if line.startswith(prefix)]
    assert [line.rpartition(" ")[2] for line in told] == list(PYTHONS)
    assert (
        f'target-version = "py{PYTHONS[0].replace(".", "")}"'
        in (ROOT / "pyproject.toml").read_text()
    )


def test_ci_tests_the_lowest_and_the_highest_python():
    ci = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"find_python\.sh (\S+)\)", ci) == [PYTHONS[0], PYTHONS[-1]]


def test_project_urls_and_keywords(metadata):
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert {"Documentation", "Changelog", "Issues"} <= set(urls)
    assert all(url.startswith("https://") for url in urls.values())
    assert "apache-beam" in metadata["Keywords"]


def test_every_link_of_the_readme_is_absolute(metadata):
    assert metadata["Description-Content-Type"] == "text/markdown"
    description = metadata.get_payload()
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert len(targets) > 5
    assert [target for target in targets if not target.startswith("https://")] == []
    (image,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", description)
    assert "/raw/" in image
    # What they point to is in the repository.
    for target in targets:
        inside = re.search(r"/(?:raw|blob)/main/([^#]+)", target)
        assert inside is None or (ROOT / inside[1]).exists(), target


def test_no_message_names_a_makefile():
    # Who installs the wheel has none.
    for folder in ("pipelines", "transforms", "runner_configs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".yaml"):
                found = re.findall(r"`make [^`]*`|\bmake (?:runners|env|demo|test)\b|Makefile",
                                   path.read_text())  # fmt: skip
                assert not found, path


def test_the_checkout_is_what_setup_py_describes():
    packages = setup_arguments()["packages"]
    assert {"beamscope", "beamscope.transforms", "beamscope.pipelines.jobs",
            "beamscope.runner_configs"} <= set(packages)  # fmt: skip
    assert all(name.partition(".")[0] == "beamscope" for name in packages)
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for folder in ("transforms", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
    }
    missing = {f"beamscope.{name}" for name in folders} - set(packages)
    assert not missing, "a folder without __init__.py is not installed"
