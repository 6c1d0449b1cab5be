"""Submit jobs with the real DataflowRunner to a stand-in for Dataflow and a local bucket."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from apache_beam.portability.api import beam_runner_api_pb2

from beamscope.pipelines.main import main
from beamscope.pipelines.runners import dataflow as dataflow_options
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from tests.dataflow.service import Service, dataflow_service
from tests.gcs import gcs_emulator

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "example/beamscope:1"


@dataclasses.dataclass(frozen=True)
class Submission:
    """A job that was submitted.

    Attributes:
      job: what the service was sent.
      output: of the job, in the bucket.
      said: what the command printed.
    """

    job: dict[str, Any]
    output: str
    said: str

    @property
    def options(self) -> dict[str, Any]:
        """The pipeline options that the workers get."""
        found: dict[str, Any] = self.job["environment"]["sdkPipelineOptions"]["options"]
        return found

    @property
    def pool(self) -> dict[str, Any]:
        """The one pool of workers."""
        (pool,) = self.job["environment"]["workerPools"]
        found: dict[str, Any] = pool
        return found

    def pipeline(self) -> beam_runner_api_pb2.Pipeline:
        """The pipeline that was staged."""
        content = files.read_bytes(self.options["pipelineUrl"])
        assert hashlib.sha256(content).hexdigest() == self.options["pipelineProtoHash"]
        return beam_runner_api_pb2.Pipeline.FromString(content)


class Cloud:
    """A bucket with slides and a model, and a Dataflow that takes jobs.

    Attributes:
      bucket: its gs:// path.
      service: what was submitted.
    """

    def __init__(self, bucket: str, service: Service) -> None:
        self.bucket = bucket
        self.service = service

    def flags(self, output: str) -> list[str]:
        """The slide job's own flags."""
        job = {"input": "slides/*.svs", "model": "models/mean-colour", "output": output}
        flags = [f"--{name}={self.bucket}/{path}" for name, path in job.items()]
        return ["slides", *flags, "--block_size=4"]

    def run(self, output: str, *more: str) -> tuple[int, str]:
        """Runs the slide job's command on Dataflow; gives its exit status and what it printed."""
        return self._run([*self.flags(output), *more])

    @property
    def account(self) -> tuple[str, ...]:
        """The flags that say whose Dataflow takes a job, and where."""
        return ("--project=a-project", "--region=us-central1",
                f"--temp_location={self.bucket}/tmp",
                f"--dataflow_endpoint={self.service.endpoint}", "--no_auth")  # fmt: skip

    def _run(self, command: list[str]) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main([*command, *self.account])
        return status, said.getvalue()

    def submit(self, config: str, output: str) -> Submission:
        """Submits the slide job with a runner config."""
        job, *flags = self.flags(output)
        config_flags = (f"--runner_config={config}", f"--sdk_container_image={IMAGE}")
        return self.submit_job(job, output, *flags, *config_flags)

    def submit_job(self, job: str, output: str, *flags: str) -> Submission:
        """Submits a job with the flags of its input, model and runner."""
        before = len(self.service.jobs)
        status, said = self._run([job, *flags, f"--output={self.bucket}/{output}"])
        assert status == 0, said
        (job,) = self.service.jobs[before:]
        return Submission(job, f"{self.bucket}/{output}", said)


@pytest.fixture(scope="package")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is made of: building one leaves files beside setup.py."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("beamscope", "pipelines", "transforms", "runner_configs"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="package")
def cloud(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    _make_input(directory)
    with (
        gcs_emulator(directory) as bucket,
        dataflow_service() as service,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(dataflow_options, "_SETUP_FILE", checkout / "setup.py")
        for path in sorted((directory / "bucket").rglob("*")):
            if path.is_file():
                name = path.relative_to(directory / "bucket")
                files.write_bytes(f"{bucket}/{name}", path.read_bytes())
        yield Cloud(bucket, service)


@pytest.fixture(scope="package")
def submitted(cloud: Cloud) -> Callable[[str], Submission]:
    """Submits the slide job with a config, once for all tests."""
    return functools.cache(lambda config: cloud.submit(config, f"out-{config}"))


def _make_input(directory: Path) -> None:
    """Two small slides, and a model that answers the mean colour."""
    (directory / "bucket" / "slides").mkdir(parents=True)
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=900, height=700, mpp=0.5, levels=2, seed=seed)
        write_sample_slide(directory / "bucket" / "slides" / f"{name}.svs", spec)

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(images, axis=[1, 2])

    tf.saved_model.save(MeanColour(), str(directory / "bucket" / "models" / "mean-colour"))
