"""Check containers/Dockerfile by reading it; `make image-rehearsal` builds it."""

import re

import pytest

from tests.dataflow.conftest import ROOT
from tests.packaging.project import PYTHONS, locked


@pytest.fixture(scope="module")
def instructions():
    """(instruction, argument) in order: comments dropped, lines joined, ARGs filled in."""
    text = (ROOT / "containers" / "Dockerfile").read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found, values = [], {}
    for line in text.replace("\\\n", " ").splitlines():
        name, _, argument = " ".join(line.split()).partition(" ")
        if not name:
            continue
        for key, value in values.items():
            argument = argument.replace(f"${{{key}}}", value)
        if name == "ARG":
            key, _, default = argument.partition("=")
            values[key] = default
        found.append((name, argument))
    return found


@pytest.fixture(scope="module")
def lock(instructions):
    """The versions that the image's Python gets, with CUDA."""
    python = dict(argument.split("=") for argument in arguments(instructions, "ARG"))
    return locked("gpu", python["PYTHON_VERSION"])


def arguments(instructions, name):
    return [argument for found, argument in instructions if found == name]


def test_versions_are_those_of_the_lock(instructions, lock):
    beam, launcher, base = arguments(instructions, "FROM")
    python = re.search(r"python(3\.\d+)_sdk", beam)[1]
    assert python in PYTHONS
    assert beam == f"apache/beam_python{python}_sdk:{lock['apache-beam']} AS beam"
    assert "-template-launcher-base:" in launcher
    assert re.fullmatch(rf"python:{re.escape(python)}-slim-\w+", base)


def test_everything_that_a_worker_imports_is_copied(instructions):
    copied = {
        source
        for argument in arguments(instructions, "COPY")
        if "--from=" not in argument
        for source in argument.split()[:-1]
    }
    assert {"beamscope", "pipelines", "transforms", "runner_configs", "setup.py", "pyproject.toml",
            "README.md", "LICENSE", "requirements.lock", "requirements-cpu.lock",
            "requirements-gpu.lock"} <= copied  # fmt: skip
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_boot_and_launcher_come_from_their_images(instructions):
    copied = [argument.split() for argument in arguments(instructions, "COPY")]
    binaries = {source[0]: source[1:] for source in copied if source[0].startswith("--from=")}
    assert binaries == {
        "--from=beam": ["/opt/apache/beam"] * 2,
        "--from=launcher": ["/opt/google/dataflow/python_template_launcher"] * 2,
    }
    assert arguments(instructions, "ENTRYPOINT") == ['["/opt/apache/beam/boot"]']


def test_installs_the_lock_with_cuda_and_openslide(instructions, lock):
    (install, _) = arguments(instructions, "RUN")
    pip, locks, own = install.split("pip install")[1:]
    assert "--require-hashes --requirement requirements-pip.lock" in pip
    assert "--require-hashes" in locks
    assert "--requirement requirements.lock --requirement requirements-gpu.lock" in locks
    assert "--no-deps . && pip check" in own
    assert {"tensorflow", "nvidia-cudnn-cu12", "openslide-bin", "setuptools"} <= set(lock)
    # What a staged package is installed with: staged_test.py does so from no index.
    assert "PIP_NO_BUILD_ISOLATION=off" in arguments(instructions, "ENV")


def test_launches_a_template(instructions):
    environment = dict(argument.split("=") for argument in arguments(instructions, "ENV"))
    sources, workers = arguments(instructions, "WORKDIR")
    # A worker's Python starts in the last one: the image's sources there would hide what is staged.
    assert workers == "/"
    launched = environment["FLEX_TEMPLATE_PYTHON_PY_FILE"].removeprefix(f"{sources}/")
    assert f"{launched} {sources}/{launched}" in arguments(instructions, "COPY")
    assert (ROOT / launched).read_text().count("BEAMSCOPE_JOB") == 1
    assert environment["BEAMSCOPE_JOB"] == "slides"
