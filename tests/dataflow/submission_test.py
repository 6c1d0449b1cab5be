"""The job and files that arrive at Dataflow and the bucket match the configs and the checkout."""

import json
import subprocess
import sys
import tarfile
from importlib.metadata import version

import pytest
import yaml
from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud.dataflow_v1beta3 import AutoscalingAlgorithm, WorkerIPAddressConfiguration

from beamscope.pipelines.runners.config import CONFIGS
from beamscope.transforms.storage import files
from tests.dataflow.conftest import IMAGE

NAMES = (
    "dataflow_cpu", "dataflow_t4", "dataflow_l4", "dataflow_l4_processes", "dataflow_l4_split",
)  # fmt: skip
# Of all machines; right_fitting_test.py has the config where only some have one.
ACCELERATORS = {
    "dataflow_cpu": None,
    "dataflow_t4": "nvidia-tesla-t4",
    "dataflow_l4": "nvidia-l4",
    "dataflow_l4_processes": "nvidia-l4",
}


def config(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


def test_every_config_of_dataflow_is_tested():
    assert sorted(path.stem for path in CONFIGS.glob("dataflow_*.yaml")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_workers_are_what_the_config_says(submitted, name):
    pool, said = submitted(name).pool, config(name)
    assert pool["machineType"] == said["machine_type"]
    assert pool["diskSizeGb"] == said["disk_size_gb"]
    assert pool.get("diskType") == said.get("disk_type")
    assert pool["numThreadsPerWorker"] == said["number_of_worker_harness_threads"]
    scaling = pool["autoscalingSettings"]
    assert scaling["maxNumWorkers"] == said["max_num_workers"]
    # The API's word for THROUGHPUT_BASED.
    assert AutoscalingAlgorithm(scaling["algorithm"]).name == "AUTOSCALING_ALGORITHM_BASIC"
    # Beam names an image for all steps only where all are in one environment.
    fitted = "embed_accelerator" in said
    assert pool.get("workerHarnessContainerImage") == (None if fitted else IMAGE)
    assert len(pool["sdkHarnessContainerImages"]) == 1 + fitted
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}


@pytest.mark.parametrize("name", NAMES)
def test_no_worker_gets_a_standard_disk(submitted, name):
    assert submitted(name).pool["diskType"].endswith("/pd-ssd")


def test_a_job_has_labels(cloud, submitted):
    own = submitted("dataflow_cpu").job["labels"]
    assert own["beamscope-job"] == "slides"
    assert own["beamscope-version"] == version("beamscope").replace(".", "-").replace("+", "-")
    flags = ("--labels=team=path", "--labels=beamscope-job=mine")
    status, said = cloud.run("out-labels", "--runner_config=dataflow_cpu", *flags)
    assert status == 0, said
    assert cloud.service.jobs[-1]["labels"] == {**own, "team": "path", "beamscope-job": "mine"}


def test_the_command_submits_in_a_process_of_its_own(cloud, checkout):
    # There Beam is imported without what a job on this machine does not need.
    before = len(cloud.service.jobs)
    flags = ("--runner_config=dataflow_cpu", f"--setup_file={checkout / 'setup.py'}")
    command = [*cloud.flags("out-process"), *flags, *cloud.account]
    done = subprocess.run(
        [sys.executable, "-m", "beamscope", *command], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (job,) = cloud.service.jobs[before:]
    assert job["labels"]["beamscope-job"] == "slides"
    assert "out-process" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_experiments_are_what_the_config_says(submitted, name):
    experiments = submitted(name).job["environment"]["experiments"]
    assert set(config(name)["experiments"]) <= set(experiments)
    # Beam asks for a process for each vCPU unless it is told otherwise.
    several = name == "dataflow_l4_processes"
    assert ("use_multiple_sdk_containers" in experiments) == several
    assert not any(experiment.startswith("worker_accelerator") for experiment in experiments)


@pytest.mark.parametrize("name", NAMES)
def test_one_accelerator_by_one_way(submitted, name):
    environment = submitted(name).job["environment"]
    options = environment.get("serviceOptions", [])
    assert options == config(name).get("dataflow_service_options", [])
    wanted = ACCELERATORS.get(name)
    assert len(options) == (wanted is not None)
    if wanted:
        assert options[0].startswith(f"worker_accelerator=type:{wanted};count:1;")
    environments = submitted(name).pipeline().components.environments.values()
    hints = [hint for environment in environments for hint in environment.resource_hints]
    assert bool(hints) == ("embed_accelerator" in config(name))


@pytest.mark.parametrize("name", NAMES)
def test_workers_are_told(submitted, name):
    options = submitted(name).options
    gpu = config(name).get("require_gpu", False)
    assert options["require_gpu"] is gpu
    assert options["save_main_session"] is False
    steps = {step.unique_name for step in submitted(name).pipeline().components.transforms.values()}
    assert ("RequireGpu" in steps) is gpu


def test_submitting_does_not_wait(cloud):
    submission = cloud.submit("dataflow_cpu", "out-not-waited-for")
    assert {method for method, _ in cloud.service.requests} == {"POST"}
    name = submission.job["name"]
    assert name.startswith("beamscope-slides-")
    assumed, *lines = submission.said.splitlines()
    assert "input range 0..1 is assumed" in assumed
    assert lines[0].startswith(f"submitted to Dataflow as {name}, 2026-01-01_00_00_00-")
    assert "/dataflow/jobs/us-central1/2026-01-01_00_00_00-" in lines[1]
    assert lines[1].endswith("?project=a-project")
    assert f"`beamscope status {submission.output}`" in lines[2]
    assert not files.exists(f"{submission.output}/dataset.json")
    written = json.loads(files.read_bytes(f"{submission.output}/.beamscope/run.json"))
    assert written["cluster_job"]["runner"] == "Dataflow"
    assert f", {written['cluster_job']['id']}" in lines[0]
    assert written["cluster_job"]["url"] == lines[1].strip()


def test_a_second_job_on_the_same_output_is_refused(cloud):
    name = cloud.submit("dataflow_cpu", "out-twice").job["name"]
    cloud.service.active[name] = "2026-01-01_00_00_00-0"
    status, said = cloud.run("out-twice", "--runner_config=dataflow_cpu")
    assert status == 2
    assert f"{cloud.bucket}/out-twice: a Dataflow job named {name} is writing it" in said


def test_private_addresses_key_and_payer_arrive(cloud):
    key = "projects/p/locations/us-central1/keyRings/k/cryptoKeys/c"
    network = "regions/us-central1/subnetworks/mine"
    flags = ("--no_use_public_ips", f"--subnetwork={network}", f"--dataflow_kms_key={key}")
    account = "--service_account_email=worker@a-project.iam.gserviceaccount.com"
    image = f"--sdk_container_image={IMAGE}"
    flags = (*flags, "--billing_project=payer")
    cloud.run("out-private", "--runner_config=dataflow_cpu", image, account, *flags)
    options = cloud.service.jobs[-1]["environment"]["sdkPipelineOptions"]["options"]
    assert options["billing_project"] == "payer"
    environment = cloud.service.jobs[-1]["environment"]
    (pool,) = environment["workerPools"]
    assert WorkerIPAddressConfiguration(pool["ipConfiguration"]).name == "WORKER_IP_PRIVATE"
    assert pool["subnetwork"] == network
    assert environment["serviceKmsKeyName"] == key
    assert environment["serviceAccountEmail"] == account.partition("=")[2]


def test_a_job_name_of_ones_own(cloud):
    cloud.run("out-named", "--runner_config=dataflow_cpu", "--job_name=mine")
    assert cloud.service.jobs[-1]["name"] == "mine"


def test_a_template_is_written_and_not_submitted(cloud):
    before = len(cloud.service.requests)
    template = f"{cloud.bucket}/templates/slides.json"
    flags = ("--runner_config=dataflow_cpu", f"--template_location={template}")
    flags = (*flags, f"--sdk_container_image={IMAGE}")
    status, said = cloud.run("out-template", *flags)
    assert status == 0
    assert said.splitlines()[1:] == [f"template written to {template}"]
    assert cloud.service.requests[before:] == []
    assert b'"workerPools"' in files.read_bytes(template)


def test_the_staged_package_holds_everything(submitted, checkout, tmp_path):
    environments = submitted("dataflow_t4").pipeline().components.environments.values()
    staged = {
        dependency.role_payload: beam_runner_api_pb2.ArtifactUrlPayload.FromString(
            dependency.type_payload
        ).url
        for environment in environments
        for dependency in environment.dependencies
    }
    (url,) = {url for url in staged.values() if url.endswith("/workflow.tar.gz")}
    (tmp_path / "package.tar.gz").write_bytes(files.read_bytes(url))
    with tarfile.open(tmp_path / "package.tar.gz") as package:
        held = {name.partition("/")[2] for name in package.getnames()}
    modules = {
        f"beamscope/{path.relative_to(checkout)}"
        for folder in ("pipelines", "transforms")
        for path in (checkout / folder).rglob("*.py")
    }
    configs = {f"beamscope/runner_configs/{path.name}" for path in CONFIGS.glob("*.yaml")}
    assert len(modules) > 60
    assert len(configs) >= 8
    assert sorted((modules | configs | {"setup.py"}) - held) == []
