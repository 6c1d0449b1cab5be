"""The Flex Templates: metadata that the API takes, and launches that are command lines."""

import json

import pytest
from google.cloud.dataflow_v1beta3 import ParameterType, TemplateMetadata
from google.protobuf import json_format

from beamscope.pipelines.jobs.parser import job_parser
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.templates.flex_template import command_line, launch, metadata, run
from beamscope.transforms.inference import model_memory
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from tests.dataflow.conftest import ROOT
from tests.inference.kept import count_loads

BEAM_FLAGS = {
    "require_gpu",
    "embed_accelerator",
    "billing_project",
    "sdk_container_image",
    "number_of_worker_harness_threads",
}


@pytest.mark.parametrize("job", JOBS.names())
def test_the_committed_metadata_is_that_of_the_flags(job, capsys):
    assert run([job]) == 0
    committed = (ROOT / "containers" / f"{job}_metadata.json").read_text()
    assert capsys.readouterr().out == committed, (
        f"python -m beamscope.pipelines.templates.flex_template {job} "
        f"> containers/{job}_metadata.json"
    )


@pytest.mark.parametrize("job", JOBS.names())
def test_the_api_takes_the_metadata(job):
    template = TemplateMetadata()
    # Fails on a field, or a type of parameter, that the API does not have.
    json_format.ParseDict(metadata(job), TemplateMetadata.pb(template))
    flags = {flag.removeprefix("--") for flag in job_parser(JOBS.get(job)).flags()} - {
        "help",
        "help_all",
        "-h",
        "part",  # for schedulers that are not Dataflow
    }
    assert {parameter.name for parameter in template.parameters} == flags | BEAM_FLAGS
    for parameter in template.parameters:
        assert parameter.label
        assert parameter.help_text
        assert "%" not in parameter.help_text.replace("5%", "").replace("100%", "")


def test_types_of_parameters():
    parameters = {parameter["name"]: parameter for parameter in metadata("slides")["parameters"]}
    types = {name: ParameterType[parameter["paramType"]] for name, parameter in parameters.items()}
    assert types["mpp"] == ParameterType.NUMBER
    assert types["overwrite"] == ParameterType.BOOLEAN
    assert types["require_gpu"] == ParameterType.BOOLEAN
    assert types["tissue"] == ParameterType.ENUM
    assert types["input"] == ParameterType.TEXT
    assert types["output"] == ParameterType.GCS_WRITE_FOLDER
    assert parameters["tissue"]["enumOptions"][0] == {"value": "otsu"}
    required = {name for name, parameter in parameters.items() if not parameter["isOptional"]}
    assert required == {"model", "output"}
    for name in ("input", "manifest"):
        assert parameters[name]["helpText"].endswith("; input or manifest is required")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--mpp=0.25"], ["--mpp=0.25"]),
        (["--overwrite=true", "--allow_upsampling=False"], ["--overwrite"]),
        (["--require_gpu=True"], ["--require_gpu"]),
        (["--input=gs://b/a.svs  gs://b/c"], ["--input", "gs://b/a.svs", "gs://b/c"]),
        (["--format=parquet tfrecord"], ["--format", "parquet", "tfrecord"]),
        (["--masks="], []),
        (["--input_range=-1..1"], ["--input_range=-1..1"]),
        # Beam's own stay as they are.
        (["--runner=DataflowRunner", "--no_auth"], ["--runner=DataflowRunner", "--no_auth"]),
    ],
)
def test_command_line(given, expected):
    assert command_line("slides", given) == expected


def test_command_line_errors():
    with pytest.raises(InputError, match="--overwrite must be true or false, got maybe"):
        command_line("slides", ["--overwrite=maybe"])


@pytest.mark.parametrize("value", ["maybe", "false"])
def test_launch_says_what_is_wrong_and_fails(capsys, value):
    assert launch("slides", [f"--overwrite={value}", "--mpp=0.5"]) == 2
    wrong = {
        "maybe": "--overwrite must be true or false, got maybe",
        "false": "the following arguments are required: --model, --output",
    }
    assert f"beamscope slides: {wrong[value]}" in capsys.readouterr().err


def launched(cloud, template):
    """The parameters and options that Dataflow's launcher gives."""
    return [
        f"--input={cloud.bucket}/slides/a.svs {cloud.bucket}/slides/b.svs",
        f"--model={cloud.bucket}/models/mean-colour",
        f"--output={cloud.bucket}/out-launched",
        "--overwrite=false",
        "--runner_config=dataflow_t4",
        "--sdk_container_image=example/beamscope:1",
        "--runner=DataflowRunner",
        "--project=a-project",
        "--region=us-central1",
        "--job_name=launched",
        f"--temp_location={cloud.bucket}/tmp",
        f"--template_location={template}",
        f"--dataflow_endpoint={cloud.service.endpoint}",
        "--no_auth",
    ]


def test_a_launcher_that_is_too_small_for_the_model_says_so(cloud, monkeypatch, capfd):
    monkeypatch.setattr(model_memory, "available_memory", lambda: 200_000_000)
    flags = launched(cloud, f"{cloud.bucket}/small/job.json")
    assert launch("slides", flags) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "beamscope slides:" in line]
    assert "it needs about 0.3 GB of memory, and 0.2 GB are left" in line
    assert "--launcher-machine-type" in line
    assert not files.exists(f"{cloud.bucket}/small/job.json")


def test_launch_writes_the_job_for_dataflow(cloud):
    template = f"{cloud.bucket}/launched/job.json"
    flags = launched(cloud, template)
    before = len(cloud.service.requests)
    assert launch("slides", flags) == 0
    assert len(cloud.service.requests) == before
    job = json.loads(files.read_bytes(template))
    assert job["name"] == "launched"
    assert job["environment"]["workerPools"][0]["machineType"] == "n1-standard-8"


def test_a_second_launch_takes_the_model_from_the_record(cloud, monkeypatch):
    flags = [*launched(cloud, f"{cloud.bucket}/again/job.json"), f"--output={cloud.bucket}/again"]
    loads = count_loads(monkeypatch)
    assert [launch("slides", flags) for _ in range(2)] == [0, 0]
    assert len(loads) == 1
