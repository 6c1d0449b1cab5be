"""The GPUs that a job on Dataflow requests, and what does not work with them."""

from __future__ import annotations

import dataclasses

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

from beamscope.pipelines.runners.gpu import embed_accelerator, requires_gpu
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# The machine types for each accelerator, from https://cloud.google.com/compute/docs/gpus.
_MACHINES = {
    "nvidia-tesla-t4": ("n1-", "custom-"),
    "nvidia-l4": ("g2-",),
    "nvidia-tesla-a100": ("a2-highgpu-", "a2-megagpu-"),
    "nvidia-a100-80gb": ("a2-ultragpu-",),
    "nvidia-h100-80gb": ("a3-highgpu-",),
}
# The machine types that have a GPU in any case.
_WITH_GPU = {kind: names for kind, names in _MACHINES.items() if "n1-" not in names}
# Of compute capability 6.x and 7.0. cuDNN dropped them in 9.11. Most libraries of the lock's 9.28
# (such as libcudnn_ops, libcudnn_cnn and libcudnn_adv) have code for 7.5 and later only.
_WITHOUT_CUDNN = ("nvidia-tesla-p4", "nvidia-tesla-p100", "nvidia-tesla-v100")
# They do not take standard persistent disks, which are Dataflow's default:
# https://cloud.google.com/compute/docs/accelerator-optimized-machines.
_WITHOUT_STANDARD_DISKS = ("g2-", "a3-")
_SSD = "compute.googleapis.com/projects//zones//diskTypes/pd-ssd"
_SERVICE_OPTION = "worker_accelerator="
_RESOURCE_HINTS = ("accelerator=", "beam:resources:accelerator:v1=")
_MACHINE = "machine_type"
_DRIVER = "install-nvidia-driver"


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """An accelerator that an option requests.

    Attributes:
      option: the flag and its value, as the user wrote them.
      fields: the fields between the semicolons: ``type``, ``count``, ``install-nvidia-driver``, of
        a hint ``machine_type`` too; a field without a value maps to an empty string.
    """

    option: str
    fields: dict[str, str]

    @property
    def machine(self) -> str:
        """Return the type of machine that a resource hint names; an empty string where none is."""
        is_hint = self.option.startswith(("--resource_hints", "--embed_accelerator"))
        return self.fields.get(_MACHINE, "") if is_hint else ""


def requested_gpus(options: PipelineOptions) -> dict[str, int]:
    """Return how many GPUs of each kind every worker is to have."""
    fields = [accelerator.fields for accelerator in accelerators(options)]
    return {one.get("type", ""): int(one.get("count") or 1) for one in fields}


def gpu_machine(options: PipelineOptions) -> str:
    """Return the type of the machines that embed; an empty string where none is named.

    A resource hint may name the machine of its steps. Then ``--machine_type`` is for the others.
    """
    machine: str = options.view_as(WorkerOptions).machine_type or ""
    return next((one.machine for one in accelerators(options) if one.machine), machine)


def accelerators(options: PipelineOptions) -> list[Accelerator]:
    """Return the accelerators that the options request, in any of the four forms."""
    service_options = options.view_as(GoogleCloudOptions).dataflow_service_options or []
    experiments = options.view_as(DebugOptions).experiments or []
    hints = options.view_as(StandardOptions).resource_hints or []
    own = embed_accelerator(options)
    return [
        Accelerator(f"--{flag} {value}", _fields(value.removeprefix(prefix)))
        for flag, values, prefixes in (
            ("dataflow_service_options", service_options, (_SERVICE_OPTION,)),
            # The form from before service options existed; Dataflow still accepts it.
            ("experiments", experiments, (_SERVICE_OPTION,)),
            ("resource_hints", hints, _RESOURCE_HINTS),
            ("embed_accelerator", [] if own is None else [own], ("",)),
        )
        for value in values
        for prefix in prefixes
        if value.startswith(prefix)
    ]


def _fields(text: str) -> dict[str, str]:
    pairs = (field.partition(":") for field in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def check_accelerator(options: PipelineOptions) -> None:
    """Check that the requested GPU works, with the machine, disk and image that the options name.

    Raises:
      InputError: ``bad_option`` or ``missing_option``.
    """
    workers = options.view_as(WorkerOptions)
    machine: str = workers.machine_type or ""
    asked = accelerators(options)
    _check_flexrs(options, asked)
    if len(asked) > 1:
        raise InputError(
            Kind.BAD_OPTION,
            f"{asked[0].option} and {asked[1].option}: Dataflow takes only one accelerator, as a "
            "service option or as a resource hint",
        )
    if not asked:
        _check_without(options, machine)
        _check_disk(machine, workers.disk_type)
        return
    (accelerator,) = asked
    _check_fields(accelerator)
    flag = f"--machine_type {machine or '(none)'}"
    if accelerator.machine:
        _check_other_steps(accelerator, machine)
        _check_disk(machine, workers.disk_type)
        flag, machine = accelerator.option, accelerator.machine
    fitting = _MACHINES.get(accelerator.fields["type"])
    if fitting and not machine.startswith(fitting):
        raise InputError(
            Kind.BAD_OPTION,
            f"{flag}: does not support {accelerator.fields['type']}, "
            f"which requires {' or '.join(f'{name}…' for name in fitting)}",
        )
    _check_disk(machine, workers.disk_type)
    if not workers.sdk_container_image:
        raise InputError(
            Kind.MISSING_OPTION,
            f"--sdk_container_image: {accelerator.option} needs an image with CUDA, built from "
            "containers/Dockerfile",
        )


def _check_other_steps(accelerator: Accelerator, machine: str) -> None:
    """Check that the steps that do not embed run on a machine without a GPU of its own."""
    if machine.startswith(tuple(name for names in _WITH_GPU.values() for name in names)):
        raise InputError(
            Kind.BAD_OPTION,
            f"--machine_type {machine}: has a GPU, and is for the steps that do not embed, since "
            f"{accelerator.option} names its own machine; name one without, such as n2-standard-8",
        )


def _check_without(options: PipelineOptions, machine: str) -> None:
    """Check that nothing in the options needs the GPU that nobody requests."""
    if requires_gpu(options):
        raise InputError(
            Kind.MISSING_OPTION,
            "--require_gpu: no accelerator is requested; add --dataflow_service_options "
            f"'{_SERVICE_OPTION}type:nvidia-tesla-t4;count:1;{_DRIVER}'",
        )
    kind = next((kind for kind, names in _WITH_GPU.items() if machine.startswith(names)), "")
    if kind:
        raise InputError(
            Kind.MISSING_OPTION,
            f"--machine_type {machine}: has a GPU, but no accelerator is requested; add "
            f"--dataflow_service_options '{_SERVICE_OPTION}type:{kind};count:1;{_DRIVER}'",
        )


def _check_fields(accelerator: Accelerator) -> None:
    fields = accelerator.fields
    count = fields.get("count", "")
    if not fields.get("type") or not (count.isdecimal() and int(count) >= 1):
        raise InputError(
            Kind.BAD_OPTION,
            f"{accelerator.option}: requests no GPU; write type:NAME;count:1;{_DRIVER}",
        )
    if fields["type"] in _WITHOUT_CUDNN:
        raise InputError(
            Kind.BAD_OPTION,
            f"{accelerator.option}: the image's cuDNN has no code for {fields['type']}; use "
            "nvidia-tesla-t4, nvidia-l4 or a newer GPU",
        )
    if int(count) > 1:
        raise InputError(
            Kind.BAD_OPTION,
            f"{accelerator.option}: a worker process computes on the first GPU of its machine, and "
            "the others would cost money and do nothing; write count:1, and raise "
            "--max_num_workers",
        )
    if _DRIVER not in fields:
        raise InputError(
            Kind.BAD_OPTION, f"{accelerator.option}: installs no driver; add ;{_DRIVER} to it"
        )


def _check_disk(machine: str, disk_type: str | None) -> None:
    """Check that a machine gets a disk that it supports."""
    if machine.startswith(_WITHOUT_STANDARD_DISKS) and (
        not disk_type or disk_type.endswith("pd-standard")
    ):
        given = f"--disk_type {disk_type}: is" if disk_type else "--disk_type: the default is"
        raise InputError(
            Kind.MISSING_OPTION if not disk_type else Kind.BAD_OPTION,
            f"{given} a standard disk, which {machine} does not support; give --disk_type {_SSD}",
        )


def _check_flexrs(options: PipelineOptions, asked: list[Accelerator]) -> None:
    """Check that FlexRS is given only what it takes: neither GPUs nor resource hints.

    https://cloud.google.com/dataflow/docs/guides/flexrs and …/guides/right-fitting. The other goal,
    SPEED_OPTIMIZED, starts the job at once as without the option.
    """
    if options.view_as(GoogleCloudOptions).flexrs_goal != "COST_OPTIMIZED":
        return
    hints = options.view_as(StandardOptions).resource_hints or []
    wrong = [one.option for one in asked] or [f"--resource_hints {hint}" for hint in hints]
    if wrong:
        raise InputError(
            Kind.BAD_OPTION,
            "--flexrs_goal COST_OPTIMIZED: FlexRS takes no GPU and no resource hint, and "
            f"{wrong[0]} is given; leave --flexrs_goal out, or embed on processors "
            "(--runner_config dataflow_cpu)",
        )
