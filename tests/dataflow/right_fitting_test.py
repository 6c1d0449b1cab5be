"""Only what reads, embeds and writes is on machines with a GPU, and pixels stay in memory."""

import io
import zipfile

import apache_beam as beam
import cv2
import numpy as np
import pytest

from beamscope.pipelines.jobs import waves
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.jobs.run_job import run_job
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from tests.dataflow.conftest import IMAGE
from tests.dataflow.stages import fused_stages
from tests.dataflow.submission_test import config

NAME = "dataflow_l4_split"
WORK = ("FindPart", "ReadBlock", "BeamML_RunInference", "WritePart")
OTHERS = (
    "PlanItem",
    "KeyByRun",
    "CheckParts",
    "SumUp/SumUp",
    "CutShards",
    "WriteShard",
    "FinishDataset",
)


@pytest.fixture(scope="module")
def stages(submitted):
    return fused_stages(submitted(NAME).pipeline())


def stage_of(stages, step):
    (found,) = [stage for stage in stages if stage.has(step)]
    return found


def test_reading_embedding_and_writing_are_one_stage_with_the_gpu(stages):
    hint = config(NAME)["embed_accelerator"]
    assert "machine_type:g2-standard-16" in hint
    stage = stage_of(stages, "ReadBlock")
    assert stage.accelerator == hint
    for step in WORK:
        assert stage_of(stages, step) is stage, step
    # A run of blocks of one slide is taken apart where it is read.
    assert stage_of(stages, "InOrder") is stage
    assert stage_of(stages, "LookForGpu").accelerator == hint


def test_planning_and_assembly_need_no_gpu(stages):
    for step in OTHERS:
        assert stage_of(stages, step).accelerator == "", step
    with_gpu = [stage for stage in stages if stage.accelerator]
    assert len(with_gpu) == 2  # the work, and the first look for a GPU


def test_without_the_option_no_step_has_a_hint(submitted):
    stages = fused_stages(submitted("dataflow_l4").pipeline())
    assert {stage.accelerator for stage in stages} == {""}
    assert {stage_of(stages, step) for step in WORK} == {stage_of(stages, "ReadBlock")}


def test_a_hint_on_the_model_alone_would_have_parted_it_from_reading():
    """The reason for one hint on all of them, by the same measure."""
    pipeline = beam.Pipeline()
    embed = beam.Map(str).with_resource_hints(accelerator="type:any;count:1")
    read = pipeline | beam.Create([1]) | "ReadBlock" >> beam.Map(abs)
    _ = read | "BeamML_RunInference" >> embed | "WritePart" >> beam.Map(len)
    stages = fused_stages(pipeline.to_runner_api())
    assert len({stage_of(stages, step) for step in WORK[1:]}) == 3


def test_machines(submitted):
    submission = submitted(NAME)
    assert submission.pool["machineType"] == "n2-standard-8"
    assert submission.job["environment"].get("serviceOptions", []) == []
    images = submission.pool["sdkHarnessContainerImages"]
    # One environment for each hint, all of the same image and of one process.
    assert len(images) == 2
    assert {image["containerImage"] for image in images} == {IMAGE}


def test_films_are_read_and_embedded_in_one_stage_too(cloud):
    films = io.BytesIO()
    with zipfile.ZipFile(films, "w") as archive:
        archive.writestr("a.png", cv2.imencode(".png", np.full((64, 64), 9, np.uint8))[1].tobytes())
    files.write_bytes(f"{cloud.bucket}/films.zip", films.getvalue())
    flags = [f"--input={cloud.bucket}/films.zip", f"--model={cloud.bucket}/models/mean-colour"]
    flags += [f"--runner_config={NAME}", f"--sdk_container_image={IMAGE}"]
    stages = fused_stages(cloud.submit_job("xrays", "out-split-films", *flags).pipeline())
    stage = stage_of(stages, "WritePart")
    assert stage.accelerator
    for step in ("FindPart", "ReadAndEmbed/Read", "BeamML_RunInference"):
        assert stage_of(stages, step) is stage, step
    assert stage_of(stages, "PlanItem").accelerator == ""


def test_each_wave_has_a_stage_of_its_own(cloud, monkeypatch):
    monkeypatch.setattr(waves, "FEWEST_DIVIDED", 2)
    stages = fused_stages(cloud.submit(NAME, "out-split-waves").pipeline())
    first, second = (
        [
            stage
            for stage in stages
            if any(stage.has(f"{step}{wave}") for step in ("Plan", "Spread", "ReadAndEmbed"))
        ]
        for wave in (1, 2)
    )
    assert not {*first} & {*second}
    for wave in (first, second):
        work = stage_of(wave, "ReadBlock")
        assert work.accelerator
        assert {stage_of(wave, step) for step in WORK} == {work}
        assert stage_of(wave, "PlanItem").accelerator == ""
    # The second wave is planned behind the first one, and waits for nothing else.
    (waits,) = [stage for stage in stages if stage.has("Wait2")]
    assert not waits.accelerator
    assert not any(stage.has("Wait2") for stage in first)
    for step in OTHERS[2:]:
        assert stage_of(stages, step).accelerator == "", step


def test_other_runners_refuse_it(tmp_path):
    flags = ["--input=x", "--model=y", f"--output={tmp_path}", "--embed_accelerator=type:nvidia-l4"]
    with pytest.raises(InputError) as raised:
        run_job(JOBS.get("slides"), flags)
    assert raised.value.message.startswith("--embed_accelerator type:nvidia-l4: only Dataflow has")
