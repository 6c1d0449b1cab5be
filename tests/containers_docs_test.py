"""The commands and the manifest of docs/containers.md."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.parser import job_parser
from beamscope.pipelines.jobs.slides import JOB
from beamscope.pipelines.runners.gpu import GpuOptions

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "containers.md").read_text()
DOCKERFILE = (ROOT / "containers" / "Dockerfile.cli").read_text()
USER = re.search(r"^USER (\d+):\d+$", DOCKERFILE, re.M)[1]


def commands(program):
    """The words of each command of a program on the page."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line))[:1] == [program]]


MANIFEST, SHARED = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", PAGE, re.S))
ARGUMENTS = [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in (MANIFEST, SHARED)]
JOBS = [words[words.index("slides") :] for words in commands("docker") + commands("apptainer")
        if "slides" in words]  # fmt: skip


def test_there_are_jobs_for_docker_and_apptainer():
    assert len(JOBS) == 3


@pytest.mark.parametrize("words", [*JOBS, *ARGUMENTS])
def test_every_job_has_flags_that_the_command_knows(words):
    job, *flags = words
    assert job == JOB.name
    _, unknown = job_parser(JOB).parse_known_args(flags)
    options = PipelineOptions(unknown)  # Of Beam, and of ours beside it.
    assert options.view_as(GpuOptions).require_gpu == ("--require_gpu" in flags)
    assert set(unknown) <= {"--require_gpu"}


def test_every_file_and_argument_of_a_build_is_there():
    builds = [words for words in commands("docker") if words[1] == "build"]
    assert builds
    for words in builds:
        assert (ROOT / words[words.index("--file") + 1]).exists()
        for name in [words[at + 1] for at, word in enumerate(words) if word == "--build-arg"]:
            assert f"ARG {name.partition('=')[0]}=" in DOCKERFILE


def test_the_manifest_lets_the_image_run_as_its_user_on_read_only_files():
    pod = MANIFEST["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "fsGroup": int(USER)}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
    # All that it writes lies on a volume: the output, and what the image's HOME is.
    assert "HOME=/tmp" in DOCKERFILE
    assert "/tmp" in mounted.values()
    assert all(word.startswith("/data/") for word in container["args"] if word.startswith("/"))
    assert f"the number {USER}" in PAGE


def test_pods_that_share_a_job_are_as_many_as_its_parts():
    completions = SHARED["spec"]["completions"]
    assert SHARED["spec"]["completionMode"] == "Indexed"  # It sets JOB_COMPLETION_INDEX.
    assert ARGUMENTS[1] == [*ARGUMENTS[0], "--part", f"auto/{completions}"]
