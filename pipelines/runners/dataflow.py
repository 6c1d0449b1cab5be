"""What a job on Dataflow needs to be told, checked before anything is submitted.

Dataflow itself would say most of it minutes later, from a machine that costs money by then.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from beamscope.pipelines.runners.gpu import requires_gpu
from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import PathFlag

_RUNNERS = ("dataflowrunner", "testdataflowrunner")

# Flags of every job whose files the workers read or write.
_SEEN_BY_WORKERS = ("model", "output")

# https://cloud.google.com/compute/docs/gpus: which machines an accelerator goes with.
_MACHINES = {
    "nvidia-tesla-p4": ("n1-", "custom-"),
    "nvidia-tesla-p100": ("n1-", "custom-"),
    "nvidia-tesla-t4": ("n1-", "custom-"),
    "nvidia-tesla-v100": ("n1-", "custom-"),
    "nvidia-l4": ("g2-",),
    "nvidia-tesla-a100": ("a2-highgpu-", "a2-megagpu-"),
    "nvidia-a100-80gb": ("a2-ultragpu-",),
    "nvidia-h100-80gb": ("a3-highgpu-",),
}
_SERVICE_OPTION = "worker_accelerator="
_RESOURCE_HINTS = ("accelerator=", "beam:resources:accelerator:v1=")
_DRIVER = "install-nvidia-driver"

_SETUP_FILE = Path(__file__).resolve().parents[2] / "setup.py"


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """An accelerator as an option asks for it.

    Attributes:
      option: the flag and its value, as the user knows them.
      fields: what stands between the semicolons: ``type``, ``count``, ``install-nvidia-driver``;
        one that has no value maps to an empty string.
    """

    option: str
    fields: dict[str, str]


def runs_on_dataflow(options: PipelineOptions) -> bool:
    """Whether the runner is Dataflow's."""
    return runner_name(options) in _RUNNERS


def prepare_dataflow(
    path_flags: Mapping[str, PathFlag], args: argparse.Namespace, options: PipelineOptions
) -> None:
    """Checks the options of a job that runs on Dataflow, and completes them; leaves others alone.

    Where just one of ``--temp_location`` and ``--staging_location`` is given, it serves as both.
    This package is staged (``--setup_file``) where it lies beside its setup.py, so that workers run
    the code that submits; what is installed otherwise has to be in the image.

    Args:
      path_flags: the job's own flags that name files.
      args: the parsed flags of the job.
      options: Beam's own; changed in place.

    Raises:
      InputError: ``missing_option``, ``bad_option`` or ``local_path``; the message names the flag.
    """
    if not runs_on_dataflow(options):
        return
    _check_cloud(options)
    _check_accelerator(options)
    own = (name for name, flag in path_flags.items() if flag.by_workers)
    for name in (*own, *_SEEN_BY_WORKERS):
        value = getattr(args, name, None)
        check_remote(options, f"--{name}", value if isinstance(value, list) else [value])
    _stage_package(options)


def check_remote(options: PipelineOptions, flag: str, uris: Iterable[str | None]) -> None:
    """Refuses what the workers of a Dataflow job could not see.

    Args:
      options: Beam's own; nothing is checked for another runner.
      flag: that named the uris, for the message.
      uris: what workers read or write; None counts as not given.

    Raises:
      InputError: ``local_path``.
    """
    if not runs_on_dataflow(options):
        return
    for uri in uris:
        if uri is not None and files.is_local(uri):
            raise InputError(
                Kind.LOCAL_PATH,
                f"{flag} {uri}: is on this machine, where Dataflow's workers cannot see it; "
                "copy it to gs:// and name it there",
            )


def _check_cloud(options: PipelineOptions) -> None:
    cloud = options.view_as(GoogleCloudOptions)
    for flag, value, example in (
        ("project", cloud.project, "PROJECT"),
        ("region", cloud.region, "us-central1"),
        ("temp_location", cloud.temp_location or cloud.staging_location, "gs://BUCKET/tmp"),
    ):
        if not value:
            raise InputError(
                Kind.MISSING_OPTION, f"--{flag}: Dataflow needs one, such as --{flag} {example}"
            )
    for flag, value in (
        ("temp_location", cloud.temp_location),
        ("staging_location", cloud.staging_location),
    ):
        bucket, _, folder = (value or "gs://b/f").removeprefix("gs://").partition("/")
        if value and not (value.startswith("gs://") and bucket and folder):
            raise InputError(
                Kind.BAD_OPTION, f"--{flag} {value}: is not of the form gs://BUCKET/PATH"
            )
    cloud.temp_location = cloud.temp_location or cloud.staging_location
    cloud.staging_location = cloud.staging_location or cloud.temp_location


def _check_accelerator(options: PipelineOptions) -> None:
    workers = options.view_as(WorkerOptions)
    machine: str = workers.machine_type or ""
    asked = _accelerators(options)
    if len(asked) > 1:
        raise InputError(
            Kind.BAD_OPTION,
            f"{asked[0].option} and {asked[1].option}: Dataflow takes one accelerator, as a "
            "service option or as a resource hint",
        )
    if not asked:
        if requires_gpu(options):
            raise InputError(
                Kind.MISSING_OPTION,
                "--require_gpu: no accelerator is asked for; add --dataflow_service_options "
                f"'worker_accelerator=type:nvidia-tesla-t4;count:1;{_DRIVER}'",
            )
        kind = next((kind for kind, names in _MACHINES.items() if machine.startswith(names)), "")
        if kind and _MACHINES[kind] != _MACHINES["nvidia-tesla-t4"]:
            raise InputError(
                Kind.MISSING_OPTION,
                f"--machine_type {machine}: comes with a GPU, and no accelerator is asked for; add "
                f"--dataflow_service_options 'worker_accelerator=type:{kind};count:1;{_DRIVER}'",
            )
        return
    (accelerator,) = asked
    _check_fields(accelerator)
    fitting = _MACHINES.get(accelerator.fields["type"])
    if fitting and not machine.startswith(fitting):
        raise InputError(
            Kind.BAD_OPTION,
            f"--machine_type {machine or '(none)'}: does not take {accelerator.fields['type']}, "
            f"which goes with {' or '.join(f'{name}…' for name in fitting)}",
        )
    if not workers.sdk_container_image:
        raise InputError(
            Kind.MISSING_OPTION,
            f"--sdk_container_image: {accelerator.option} needs an image with CUDA, built from "
            "containers/Dockerfile",
        )


def _check_fields(accelerator: Accelerator) -> None:
    fields = accelerator.fields
    count = fields.get("count", "")
    if not fields.get("type") or not (count.isdecimal() and int(count) >= 1):
        raise InputError(
            Kind.BAD_OPTION,
            f"{accelerator.option}: asks for no GPU; it has to say type:NAME;count:N;{_DRIVER}",
        )
    if _DRIVER not in fields:
        raise InputError(
            Kind.BAD_OPTION, f"{accelerator.option}: installs no driver; add ;{_DRIVER} to it"
        )


def _accelerators(options: PipelineOptions) -> list[Accelerator]:
    """What asks for an accelerator, in whichever way."""
    service_options = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    experiments = options.view_as(DebugOptions).experiments or []
    hints = options.view_as(StandardOptions).resource_hints or []
    return [
        Accelerator(f"--{flag} {value}", _fields(value.removeprefix(prefix)))
        for flag, values, prefixes in (
            ("dataflow_service_options", service_options, (_SERVICE_OPTION,)),
            # Where it was before Dataflow had service options; still understood.
            ("experiments", experiments, (_SERVICE_OPTION,)),
            ("resource_hints", hints, _RESOURCE_HINTS),
        )
        for value in values
        for prefix in prefixes
        if value.startswith(prefix)
    ]


def _fields(text: str) -> dict[str, str]:
    pairs = (field.partition(":") for field in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _stage_package(options: PipelineOptions) -> None:
    setup = options.view_as(SetupOptions)
    if setup.setup_file or setup.extra_packages:
        return
    if _SETUP_FILE.exists():
        setup.setup_file = str(_SETUP_FILE)
    elif not options.view_as(WorkerOptions).sdk_container_image:
        raise InputError(
            Kind.MISSING_OPTION,
            "--sdk_container_image: beamscope is installed here without its setup.py, so that it "
            "cannot be staged; name an image that holds it, built from containers/Dockerfile",
        )
