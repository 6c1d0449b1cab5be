"""Dataflow jobs that are refused before anything is submitted."""

import argparse

import pytest
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)

from beamscope.pipelines.jobs.parser import job_parser
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.jobs.run_job import run_job
from beamscope.pipelines.runners import dataflow as dataflow_options
from beamscope.pipelines.runners.config import config_names, parse_job
from beamscope.pipelines.runners.dataflow import (
    check_remote,
    prepare_dataflow,
    runner_notes,
    runs_on_dataflow,
)
from beamscope.pipelines.runners.labels import labels_of
from beamscope.transforms.problems import InputError
from tests.packaging.project import PYTHONS, locked

JOB = ("--input=gs://b/in", "--model=gs://b/model", "--output=gs://b/out")
CLOUD = ("--project=a-project", "--region=us-central1", "--temp_location=gs://b/tmp")
IMAGE = "--sdk_container_image=example/beamscope:1"
T4 = "worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver"
L4 = T4.replace("tesla-t4", "l4")
SSD = "compute.googleapis.com/projects//zones//diskTypes/pd-ssd"
ON_G2 = "type:nvidia-l4;count:1;machine_type:g2-standard-16;install-nvidia-driver"
FLEXRS = "--flexrs_goal=COST_OPTIMIZED"
LABELLED = (*JOB, *CLOUD, IMAGE, "--runner_config=dataflow_cpu")
CONFIGS = [name for name in config_names() if name.startswith("dataflow_")]


def prepared(*flags, job="slides"):
    args, options = parse_job(job_parser(JOBS.get(job)), flags)
    prepare_dataflow(JOBS.get(job).path_flags, args, options)
    return options


def refused(*flags, job="slides"):
    with pytest.raises(InputError) as raised:
        prepared(*flags, job=job)
    assert "\n" not in raised.value.message
    return raised.value.kind, raised.value.message


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("job", ["slides", "xrays"])
def test_every_config_is_complete_with_what_it_asks_for(name, job):
    options = prepared(*JOB, *CLOUD, IMAGE, f"--runner_config={name}", job=job)
    assert runs_on_dataflow(options)
    assert options.view_as(SetupOptions).save_main_session is False


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("missing", ["project", "region", "temp_location"])
def test_what_is_missing_is_asked_for(name, missing):
    given = [flag for flag in CLOUD if not flag.startswith(f"--{missing}=")]
    kind, message = refused(*JOB, *given, IMAGE, f"--runner_config={name}")
    assert kind == "missing_option"
    assert message.startswith(f"--{missing}: ")


@pytest.mark.parametrize("name", ["dataflow_t4", "dataflow_l4"])
def test_an_accelerator_needs_an_image(name):
    kind, message = refused(*JOB, *CLOUD, f"--runner_config={name}")
    assert kind == "missing_option"
    assert message.startswith("--sdk_container_image: ")
    assert "containers/Dockerfile" in message


@pytest.mark.parametrize(
    ("location", "other"),
    [("--temp_location=gs://b/t", "staging"), ("--staging_location=gs://b/t", "temp")],
)
def test_one_location_serves_as_both(location, other):
    options = prepared(*JOB, *CLOUD[:2], location, "--runner_config=dataflow_cpu")
    assert getattr(options.view_as(GoogleCloudOptions), f"{other}_location") == "gs://b/t"


@pytest.mark.parametrize("value", ["/tmp/x", "gs://b", "gs://", "gs:///x", "s3://b/x", "b/x"])
@pytest.mark.parametrize("flag", ["--temp_location", "--staging_location"])
def test_location_errors(flag, value):
    kind, message = refused(*JOB, *CLOUD, f"{flag}={value}", "--runner_config=dataflow_cpu")
    assert kind == "bad_option"
    assert message.startswith(f"{flag} {value}: ")


def accelerated(*flags):
    return (*JOB, *CLOUD, IMAGE, "--runner=DataflowRunner", *flags)


@pytest.mark.parametrize(
    "flags",
    [
        (f"--dataflow_service_options={T4}", "--machine_type=n1-standard-8"),
        (f"--dataflow_service_options={T4}:535.1", "--machine_type=custom-8-30720"),
        (f"--dataflow_service_options={T4};use_nvidia_mps", "--worker_machine_type=n1-highmem-8"),
        (f"--experiments={T4}", "--machine_type=n1-standard-8"),
        (f"--resource_hints={T4.removeprefix('worker_')}", "--machine_type=n1-standard-8"),
        # This goal is as none: the job starts at once, without FlexRS.
        (
            f"--dataflow_service_options={T4}",
            "--machine_type=n1-standard-8",
            "--flexrs_goal=SPEED_OPTIMIZED",
        ),
        (f"--dataflow_service_options={L4}", "--machine_type=g2-standard-16", f"--disk_type={SSD}"),
        ("--flexrs_goal=COST_OPTIMIZED",),
        # A hint names the machine of its steps, and --machine_type that of the others.
        (
            f"--resource_hints=accelerator={ON_G2}",
            "--machine_type=n2-standard-4",
            f"--disk_type={SSD}",
        ),
        (f"--embed_accelerator={ON_G2}", "--machine_type=n2-standard-4", f"--disk_type={SSD}"),
        (f"--embed_accelerator={ON_G2}", f"--disk_type={SSD}"),
        (f"--embed_accelerator={T4.partition('=')[2]}", "--machine_type=n1-standard-8"),
        # A kind that we do not know is for Dataflow to judge.
        (f"--dataflow_service_options={T4.replace('nvidia-tesla-t4', 'newest')}",),
        ("--machine_type=n1-standard-8",),
    ],
)
def test_accelerators(flags):
    prepared(*accelerated(*flags))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (  # Both ways at once, and one way twice.
            (f"--dataflow_service_options={T4}", "--resource_hints=accelerator=type:nvidia-l4"),
            ["--dataflow_service_options worker_accelerator", "--resource_hints accelerator"],
        ),
        (
            (f"--dataflow_service_options={T4}", f"--experiments={T4}"),
            ["--dataflow_service_options", "--experiments"],
        ),
        # No GPU after all.
        (("--require_gpu",), ["--require_gpu", "worker_accelerator"]),
        (("--machine_type=g2-standard-8",), ["--machine_type g2-standard-8", "type:nvidia-l4"]),
        (("--machine_type=a2-highgpu-1g",), ["a2-highgpu-1g", "nvidia-tesla-a100"]),
        (("--dataflow_service_options=worker_accelerator=",), ["requests no GPU"]),
        (
            (f"--dataflow_service_options={T4.replace('count:1', 'count:0')}",),
            ["count:0", "requests no GPU"],
        ),
        (
            (f"--dataflow_service_options={T4.replace('type:', '')}",),
            ["requests no GPU", "type:NAME"],
        ),
        (
            ("--dataflow_service_options=worker_accelerator=type:nvidia-tesla-t4;count:1",),
            ["installs no driver", ";install-nvidia-driver"],
        ),
        # On a machine that it does not go with.
        ((f"--dataflow_service_options={T4}",), ["--machine_type (none)", "n1-"]),
        (
            (f"--dataflow_service_options={T4}", "--machine_type=g2-standard-8"),
            ["g2-standard-8", "nvidia-tesla-t4", "n1-"],
        ),
        (
            (
                f"--dataflow_service_options={T4.replace('tesla-t4', 'l4')}",
                "--machine_type=n1-standard-8",
            ),
            ["n1-standard-8", "nvidia-l4", "g2-"],
        ),
    ],
)
def test_accelerator_errors(flags, words):
    kind, message = refused(*accelerated(*flags))
    assert kind in ("bad_option", "missing_option")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            (f"--dataflow_service_options={T4}", "--machine_type=n1-standard-8", FLEXRS),
            [
                "--flexrs_goal COST_OPTIMIZED: ",
                "takes no GPU",
                "worker_accelerator",
                "dataflow_cpu",
            ],
        ),
        (
            ("--resource_hints=min_ram=32GB", FLEXRS),
            ["--flexrs_goal COST_OPTIMIZED: ", "--resource_hints min_ram=32GB"],
        ),
        *(
            (
                (
                    f"--dataflow_service_options={T4.replace('t4', kind)}",
                    "--machine_type=n1-standard-8",
                ),
                [f"type:nvidia-tesla-{kind}", "cuDNN", "nvidia-tesla-t4"],
            )
            for kind in ("p4", "p100", "v100")
        ),
        (
            (
                f"--dataflow_service_options={T4.replace('count:1', 'count:2')}",
                "--machine_type=n1-standard-8",
            ),
            ["count:2", "first GPU", "count:1", "--max_num_workers"],
        ),
        (
            (f"--dataflow_service_options={L4}", "--machine_type=g2-standard-16"),
            ["--disk_type: the default is a standard disk", "g2-standard-16", f"--disk_type {SSD}"],
        ),
        (
            (
                f"--dataflow_service_options={L4}",
                "--machine_type=g2-standard-16",
                f"--worker_disk_type={SSD.replace('ssd', 'standard')}",
            ),
            ["pd-standard: is a standard disk", "g2-standard-16", f"--disk_type {SSD}"],
        ),
        (
            (f"--embed_accelerator={ON_G2}", "--machine_type=n2-standard-8"),
            ["--disk_type: the default is a standard disk", "g2-standard-16"],
        ),
        (
            (f"--embed_accelerator={ON_G2}", "--machine_type=g2-standard-4", f"--disk_type={SSD}"),
            ["--machine_type g2-standard-4: has a GPU", "n2-standard-8"],
        ),
        (
            (f"--embed_accelerator={ON_G2.replace('g2-', 'n1-')}", f"--disk_type={SSD}"),
            ["--embed_accelerator type:nvidia-l4;count:1;machine_type:n1-standard-16", "g2-"],
        ),
        (
            (f"--embed_accelerator={ON_G2}", f"--dataflow_service_options={L4}"),
            ["--dataflow_service_options worker_accelerator", "--embed_accelerator", "only one"],
        ),
        (
            (f"--embed_accelerator={ON_G2}", f"--resource_hints=accelerator={ON_G2}"),
            ["--resource_hints accelerator", "--embed_accelerator", "only one"],
        ),
        (
            (f"--embed_accelerator={ON_G2}", f"--disk_type={SSD}", FLEXRS),
            ["--flexrs_goal COST_OPTIMIZED: ", "--embed_accelerator"],
        ),
        (("--embed_accelerator=yes",), ["--embed_accelerator yes: requests no GPU"]),
    ],
)
def test_what_cannot_work_with_a_gpu(flags, words):
    _, message = refused(*accelerated(*flags))
    for word in words:
        assert word in message


@pytest.mark.parametrize("python", PYTHONS)
def test_the_locked_cudnn_has_no_code_for_old_gpus(python):
    version = tuple(map(int, locked("gpu", python)["nvidia-cudnn-cu12"].split(".")[:2]))
    assert version >= (9, 11), "it may have code for nvidia-tesla-p4, -p100 and -v100 again"


@pytest.mark.parametrize("seconds", ["", "0", "-5", "2h", "1.5"])
def test_a_limit_of_time_that_dataflow_would_not_understand(seconds):
    option = f"max_workflow_runtime_walltime_seconds={seconds}"
    flags = (*JOB, *CLOUD, IMAGE, "--runner_config=dataflow_t4")
    kind, message = refused(*flags, f"--dataflow_service_options={option}")
    assert kind == "bad_option"
    assert message.startswith(f"--dataflow_service_options {option}: ")
    prepared(*flags, "--dataflow_service_options=max_workflow_runtime_walltime_seconds=3600")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((), {}),
        (("team=path-1", "cost_centre=12"), {"team": "path-1", "cost_centre": "12"}),
        (("{'a': 'b', 'c': 3}", "a="), {"a": "", "c": "3"}),
        (("größe=mäßig", f"{'a' * 63}={'b' * 63}"), {"größe": "mäßig", "a" * 63: "b" * 63}),
    ],
)
def test_labels(labels, expected):
    assert labels_of(prepared(*LABELLED, *(f"--labels={label}" for label in labels))) == expected


@pytest.mark.parametrize(
    "label",
    ["Team=a", "1a=b", "team=A", "team=a b", "=b", f"{'a' * 64}=b", f"a={'b' * 64}", "{'a'",
     "{'A': 1}", "{1}"],
)  # fmt: skip
def test_labels_that_google_refuses(label):
    kind, message = refused(*LABELLED, f"--labels={label}")
    assert kind == "bad_option"
    assert message.startswith(f"--labels {label}: a label is KEY=VALUE")


@pytest.mark.parametrize("key", ["mykey", "projects/p/locations/r/keyRings/k", "gs://b/k"])
def test_a_name_of_a_key(key):
    kind, message = refused(*LABELLED, f"--dataflow_kms_key={key}")
    assert kind == "bad_option"
    assert message.startswith(f"--dataflow_kms_key {key}: must have the form projects/PROJECT/")
    prepared(*LABELLED, "--dataflow_kms_key=projects/p/locations/r/keyRings/k/cryptoKeys/c")


def test_too_many_labels():
    assert len(labels_of(prepared(*LABELLED, *(f"--label=a{i}=b" for i in range(62))))) == 62
    _, message = refused(*LABELLED, *(f"--label=a{i}=b" for i in range(63)))
    assert message.startswith("--labels: 63 are given")


def test_a_job_without_an_image_says_what_its_workers_install():
    (note,) = runner_notes(prepared(*JOB, *CLOUD, "--runner_config=dataflow_cpu"))
    assert note.startswith("--sdk_container_image: none is given")
    assert "Cloud NAT" not in note
    (note,) = runner_notes(
        prepared(*JOB, *CLOUD, "--runner_config=dataflow_cpu", "--no_use_public_ips")
    )
    assert "without public addresses needs Cloud NAT" in note
    assert list(runner_notes(prepared(*LABELLED))) == []
    assert list(runner_notes(PipelineOptions(["--runner=DirectRunner"]))) == []


@pytest.mark.parametrize("name", ["dataflow_t4", "dataflow_l4"])
def test_an_accelerator_config_without_its_gpu(tmp_path, name):
    lines = (dataflow_options._SETUP_FILE.parent / "runner_configs" / f"{name}.yaml").read_text()
    config = tmp_path / "mine.yaml"
    kept = [line for line in lines.splitlines() if "worker_accelerator" not in line]
    config.write_text("\n".join(kept))
    kind, message = refused(*JOB, *CLOUD, IMAGE, f"--runner_config={config}")
    assert kind == "missing_option"
    assert message.startswith("--require_gpu: no accelerator is requested")


@pytest.mark.parametrize(
    ("flag", "value", "job"),
    [
        ("--input", "slides/*.svs", "slides"),
        ("--model", "/models/m", "slides"),
        ("--output", "out", "slides"),
        ("--masks", "masks", "slides"),
        ("--input", "films.zip", "xrays"),
        ("--catalog_file", "train.csv", "xrays"),
    ],
)
def test_local_paths_are_refused(flag, value, job):
    flags = [one for one in JOB if not one.startswith(f"{flag}=")]
    kind, message = refused(
        *flags, f"{flag}={value}", *CLOUD, "--runner_config=dataflow_cpu", job=job
    )
    assert kind == "local_path"
    assert message.startswith(f"{flag} {value}: is on this machine")


def test_a_manifest_may_be_local_but_not_what_it_names(tmp_path):
    manifest = tmp_path / "slides.csv"
    manifest.write_text("slide_id,uri\na,gs://b/a.svs\nb,/slides/b.svs\n")
    flags = (f"--manifest={manifest}", *JOB[1:], *CLOUD, "--runner_config=dataflow_cpu")
    prepared(*flags)
    with pytest.raises(InputError) as raised:
        run_job(JOBS.get("slides"), flags)
    assert raised.value.kind == "local_path"
    assert raised.value.message.startswith("--manifest /slides/b.svs: ")


@pytest.mark.parametrize(
    ("runner", "expected"),
    [
        ("DataflowRunner", True),
        ("dataflow", True),
        ("apache_beam.runners.dataflow.dataflow_runner.DataflowRunner", True),
        ("DirectRunner", False),
        ("FlinkRunner", False),
    ],
)
def test_other_runners_are_left_alone(runner, expected):
    options = PipelineOptions([f"--runner={runner}"])
    assert runs_on_dataflow(options) is expected
    if not expected:
        prepare_dataflow({}, argparse.Namespace(output="/local"), options)
        check_remote(options, "--input", ["/local", None])
        assert options.view_as(SetupOptions).setup_file is None


@pytest.mark.parametrize(
    ("flags", "staged"),
    [
        ((), "SETUP"),
        (("--setup_file=/mine/setup.py",), "/mine/setup.py"),
        (("--extra_package=/mine/beamscope.whl",), None),
    ],
)
def test_this_package_is_staged_unless_another_is(flags, staged):
    options = prepared(*JOB, *CLOUD, "--runner_config=dataflow_cpu", *flags)
    expected = str(dataflow_options._SETUP_FILE) if staged == "SETUP" else staged
    assert options.view_as(SetupOptions).setup_file == expected


def test_a_package_that_cannot_be_staged_has_to_be_in_the_image(monkeypatch, tmp_path):
    monkeypatch.setattr(dataflow_options, "_SETUP_FILE", tmp_path / "setup.py")
    kind, message = refused(*JOB, *CLOUD, "--runner_config=dataflow_cpu")
    assert kind == "missing_option"
    assert message.startswith("--sdk_container_image: ")
    options = prepared(*JOB, *CLOUD, IMAGE, "--runner_config=dataflow_cpu")
    assert options.view_as(SetupOptions).setup_file is None


@pytest.mark.parametrize(
    ("flags", "minutes"),
    [
        ((), 46),  # three steps of 900 s, and one minute
        (("--item_timeout=60",), 4),
        (("--item_timeout=0",), None),
        (("--element_processing_timeout_minutes=7",), 7),
    ],
)
def test_beam_ends_workers_that_hang(flags, minutes):
    options = prepared(*JOB, *CLOUD, IMAGE, "--runner_config=dataflow_t4", *flags)
    assert options.view_as(WorkerOptions).element_processing_timeout_minutes == minutes
