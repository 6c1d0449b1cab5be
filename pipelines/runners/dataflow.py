"""Check the options of a job on Dataflow before it is submitted.

Dataflow itself reports most of these errors only minutes later, on machines that cost money.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
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

# The machine types for each accelerator, from https://cloud.google.com/compute/docs/gpus.
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
    """An accelerator that an option requests.

    Attributes:
      option: the flag and its value, as the user wrote them.
      fields: the fields between the semicolons: ``type``, ``count``, ``install-nvidia-driver``; a
        field without a value maps to an empty string.
    """

    option: str
    fields: dict[str, str]


def runs_on_dataflow(options: PipelineOptions) -> bool:
    """Return whether the runner is Dataflow's."""
    return runner_name(options) in _RUNNERS


def prepare_dataflow(
    path_flags: Mapping[str, PathFlag], args: argparse.Namespace, options: PipelineOptions
) -> None:
    """Check and complete the options of a job on Dataflow. Do nothing for other runners.

    If only one of ``--temp_location`` and ``--staging_location`` is given, it serves as both. If
    this package lies beside its setup.py, stage it (``--setup_file``), so that workers run the code
    that submits. Otherwise the image must contain it.

    Args:
      path_flags: the job's own flags that name files.
      args: the parsed flags of the job.
      options: Beam's own options; changed in place.

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
    _set_timeout(getattr(args, "item_timeout", 0), options)


def _set_timeout(item_timeout: float, options: PipelineOptions) -> None:
    """Let Beam end a worker that does not return from a block, if the user has set no time for it.

    To Beam an element is a block that is planned or read, embedded and written. beamscope's own
    watchdog comes first; Beam's also ends a process whose interpreter is blocked.
    """
    workers = options.view_as(WorkerOptions)
    if item_timeout and workers.element_processing_timeout_minutes is None:
        workers.element_processing_timeout_minutes = math.ceil(3 * item_timeout / 60) + 1


def check_remote(options: PipelineOptions, flag: str, uris: Iterable[str | None]) -> None:
    """Refuse local paths for a job on Dataflow, because its workers cannot see them.

    Args:
      options: Beam's own options; with other runners nothing is checked.
      flag: the flag that named the uris, for the message.
      uris: the files that workers read or write; None is skipped.

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
                Kind.MISSING_OPTION,
                f"--{flag}: Dataflow requires it, such as --{flag} {example}",
            )
    for flag, value in (
        ("temp_location", cloud.temp_location),
        ("staging_location", cloud.staging_location),
    ):
        bucket, _, folder = (value or "gs://b/f").removeprefix("gs://").partition("/")
        if value and not (value.startswith("gs://") and bucket and folder):
            raise InputError(
                Kind.BAD_OPTION, f"--{flag} {value}: must have the form gs://BUCKET/PATH"
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
            f"{asked[0].option} and {asked[1].option}: Dataflow takes only one accelerator, as a "
            "service option or as a resource hint",
        )
    if not asked:
        if requires_gpu(options):
            raise InputError(
                Kind.MISSING_OPTION,
                "--require_gpu: no accelerator is requested; add --dataflow_service_options "
                f"'worker_accelerator=type:nvidia-tesla-t4;count:1;{_DRIVER}'",
            )
        kind = next((kind for kind, names in _MACHINES.items() if machine.startswith(names)), "")
        if kind and _MACHINES[kind] != _MACHINES["nvidia-tesla-t4"]:
            raise InputError(
                Kind.MISSING_OPTION,
                f"--machine_type {machine}: has a GPU, but no accelerator is requested; add "
                f"--dataflow_service_options 'worker_accelerator=type:{kind};count:1;{_DRIVER}'",
            )
        return
    (accelerator,) = asked
    _check_fields(accelerator)
    fitting = _MACHINES.get(accelerator.fields["type"])
    if fitting and not machine.startswith(fitting):
        raise InputError(
            Kind.BAD_OPTION,
            f"--machine_type {machine or '(none)'}: does not support {accelerator.fields['type']}, "
            f"which requires {' or '.join(f'{name}…' for name in fitting)}",
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
            f"{accelerator.option}: requests no GPU; write type:NAME;count:N;{_DRIVER}",
        )
    if _DRIVER not in fields:
        raise InputError(
            Kind.BAD_OPTION, f"{accelerator.option}: installs no driver; add ;{_DRIVER} to it"
        )


def requested_gpus(options: PipelineOptions) -> dict[str, int]:
    """Return how many GPUs of each kind every worker is to have."""
    fields = [accelerator.fields for accelerator in _accelerators(options)]
    return {one.get("type", ""): int(one.get("count") or 1) for one in fields}


def _accelerators(options: PipelineOptions) -> list[Accelerator]:
    """Return the accelerators that the options request, in any of the three forms."""
    service_options = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    experiments = options.view_as(DebugOptions).experiments or []
    hints = options.view_as(StandardOptions).resource_hints or []
    return [
        Accelerator(f"--{flag} {value}", _fields(value.removeprefix(prefix)))
        for flag, values, prefixes in (
            ("dataflow_service_options", service_options, (_SERVICE_OPTION,)),
            # The form from before service options existed; Dataflow still accepts it.
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
            "--sdk_container_image: beamscope is installed here without its setup.py and cannot be "
            "staged; name an image that contains it, built from containers/Dockerfile",
        )
