"""Run the staged pipeline and package like a worker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from beamscope.pipelines.main import main
from beamscope.pipelines.runners.config import CONFIGS
from beamscope.transforms.storage import files
from tests.dataflow.conftest import ROOT
from tests.runners.jobs import JOBS, assert_same, read_dataset

(SLIDES,) = (job for job in JOBS if job.command == "slides")


@pytest.fixture(scope="module")
def package(submitted, tmp_path_factory):
    """The staged package, installed as the image in containers/ has it done: from no index."""
    folder, _, _ = submitted("dataflow_cpu").options["pipelineUrl"].rpartition("/")
    directory = tmp_path_factory.mktemp("worker")
    archive = directory / "workflow.tar.gz"
    archive.write_bytes(files.read_bytes(f"{folder}/{archive.name}"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
         "--target", str(directory / "package"), str(archive)],
        check=True,
        env={**os.environ, "PIP_NO_BUILD_ISOLATION": "off"},
    )  # fmt: skip
    return directory / "package"


def run_staged(submission, package, directory):
    """Runs a submitted job in a process of its own, that has only the staged package."""
    job = directory / "job.json"
    job.write_text(json.dumps(submission.job))
    script = ROOT / "tests" / "dataflow" / "run_staged.py"
    return subprocess.run(
        [sys.executable, str(script), str(job), str(package)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
    )


def fetched(submission, directory):
    """The output of a job, copied to this machine."""
    for file in files.list_files(submission.output):
        target = directory / file.path.removeprefix(f"{submission.output}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files.read_bytes(file.path))
    return directory


@pytest.mark.slow
def test_the_staged_pipeline_embeds_the_slides(cloud, submitted, package, tmp_path):
    submission = submitted("dataflow_cpu")
    assert (package / "beamscope" / "runner_configs" / "direct.yaml").exists()
    done = run_staged(submission, package, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    actual, expected = fetched(submission, tmp_path / "actual"), tmp_path / "expected"
    assert main([*cloud.flags("unused"), f"--output={expected}"]) == 0
    dataset = read_dataset(actual, SLIDES)
    assert dataset.rows.num_rows > 20
    assert_same(dataset, read_dataset(expected, SLIDES))

    # Now the same command has nothing to submit, and sums up.
    before = len(cloud.service.jobs)
    status, said = cloud.run("out-dataflow_cpu", "--runner_config=dataflow_cpu")
    assert status == 0
    assert "2 done" in said
    assert len(cloud.service.jobs) == before


@pytest.mark.slow
def test_a_pipeline_for_two_kinds_of_machines_embeds_the_slides(cloud, package, tmp_path):
    config = (CONFIGS / "dataflow_l4_split.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(config.replace("require_gpu: true", "require_gpu: false"))
    submission = cloud.submit(str(tmp_path / "mine.yaml"), "out-two-kinds")
    done = run_staged(submission, package, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert main([*cloud.flags("unused"), f"--output={tmp_path / 'expected'}"]) == 0
    expected = read_dataset(tmp_path / "expected", SLIDES)
    assert_same(read_dataset(fetched(submission, tmp_path / "actual"), SLIDES), expected)


@pytest.mark.slow
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_workers_without_a_gpu_fail_at_once(submitted, package, tmp_path):
    submission = submitted("dataflow_t4")
    done = run_staged(submission, package, tmp_path)
    assert done.returncode != 0
    assert "a GPU is required and TensorFlow" in done.stderr
    assert not any("/parts/" in file.path for file in files.list_files(submission.output))
