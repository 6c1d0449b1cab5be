"""A job that requires a GPU fails at once without one, and runs with one."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beamscope.pipelines.main import main
from beamscope.pipelines.runners.gpu import check_gpu_here, requires_gpu
from beamscope.transforms.inference.backends.saved_model import devices
from beamscope.transforms.inference.backends.saved_model.backend import SAVED_MODEL
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ptransforms.require_gpu import RequireGpu
from beamscope.transforms.problems import InputError
from tests.inference import models

FN_API = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@pytest.fixture(params=[False, True], ids=["no GPU", "a GPU"])
def gpu(request, monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: ["GPU:0"] if request.param else [])
    return request.param


def test_the_first_worker_looks(gpu):
    pipeline = beam.Pipeline(runner=FnApiRunner())
    _ = pipeline | RequireGpu("saved_model")
    if gpu:
        assert pipeline.run().wait_until_finish() == "DONE"
    else:
        with pytest.raises(Exception, match="a GPU is required and TensorFlow"):
            pipeline.run()


@pytest.mark.parametrize("required", [False, True])
def test_every_worker_looks_before_it_loads_the_model(gpu, required, tmp_path):
    settings = ModelSettings(models.save(tmp_path / "m", models.normalized), compile="none")
    handler = ModelBackendHandler(settings, require_gpu=required)
    if gpu or not required:
        assert handler.load_model().spec.features > 0
        return
    (tmp_path / "m" / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(InputError) as raised:
        handler.load_model()
    assert raised.value.kind == "no_gpu"


@pytest.mark.parametrize("runner", ["DirectRunner", FN_API, "DataflowRunner", "FlinkRunner"])
@pytest.mark.parametrize("required", [False, True])
def test_looks_here_where_the_workers_are_here(gpu, runner, required):
    flags = [f"--runner={runner}", *(["--require_gpu"] if required else [])]
    options = PipelineOptions(flags)
    assert requires_gpu(options) is required
    if not gpu and required and runner in ("DirectRunner", FN_API):
        with pytest.raises(InputError, match="a GPU is required"):
            check_gpu_here(options, SAVED_MODEL)
    else:
        check_gpu_here(options, SAVED_MODEL)


@pytest.mark.parametrize("more", [[], ["--runner=DirectRunner"]])
def test_a_local_job_is_refused_in_one_line(tmp_path, monkeypatch, capsys, more):
    monkeypatch.setattr(devices, "gpus", list)
    (tmp_path / "a.svs").touch()
    output = tmp_path / "out"
    model = models.save(tmp_path / "m", models.normalized)
    flags = [f"--input={tmp_path}/a.svs", f"--model={model}", f"--output={output}", *more]
    assert main(["slides", "--require_gpu", *flags]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("beamscope slides: a GPU is required and TensorFlow")
    assert not output.exists()
