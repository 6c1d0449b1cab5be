"""Check the options of a job on Dataflow before it is submitted.

Dataflow itself reports most of these errors only minutes later, on machines that cost money.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)

from beamscope.pipelines.runners.accelerators import check_accelerator
from beamscope.pipelines.runners.labels import labels_of
from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import PathFlag

_RUNNERS = ("dataflowrunner", "testdataflowrunner")

# Flags of every job whose files the workers read or write.
_SEEN_BY_WORKERS = ("model", "output")

_KEY_FORM = "projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY"
_KEY = re.compile(re.sub("[A-Z]{2,}", "[^/]+", _KEY_FORM))
_WALLTIME = "max_workflow_runtime_walltime_seconds"

_SETUP_FILE = Path(__file__).resolve().parents[2] / "setup.py"


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
    check_accelerator(options)
    labels_of(options)
    _check_walltime(options)
    _check_key(options)
    own = (name for name, flag in path_flags.items() if flag.by_workers)
    for name in (*own, *_SEEN_BY_WORKERS):
        value = getattr(args, name, None)
        check_remote(options, f"--{name}", value if isinstance(value, list) else [value])
    _stage_package(options)
    _set_timeout(getattr(args, "item_timeout", 0), options)


def runner_notes(options: PipelineOptions) -> Iterator[str]:
    """Yield a sentence for each thing that a job on Dataflow does and its user may not expect."""
    workers = options.view_as(WorkerOptions)
    if runs_on_dataflow(options) and not workers.sdk_container_image:
        private = ", which without public addresses needs Cloud NAT"
        yield (
            "--sdk_container_image: none is given, so that every worker installs the newest "
            f"packages that setup.py allows{private if workers.use_public_ips is False else ''}; "
            "dataset.json will say which ones computed (`workers`)"
        )


def _check_key(options: PipelineOptions) -> None:
    """Check the form of the name of a key that the user manages."""
    key = options.view_as(GoogleCloudOptions).dataflow_kms_key
    if key and not _KEY.fullmatch(key):
        raise InputError(
            Kind.BAD_OPTION, f"--dataflow_kms_key {key}: must have the form {_KEY_FORM}"
        )


def _check_walltime(options: PipelineOptions) -> None:
    """Check the seconds after which Dataflow is to cancel a job.

    https://docs.cloud.google.com/dataflow/docs/reference/service-options. There is no default:
    how long a job may take depends on its slides, and what is cancelled continues where it stopped.
    """
    for option in options.view_as(GoogleCloudOptions).dataflow_service_options or []:
        name, _, seconds = option.partition("=")
        if name == _WALLTIME and not (seconds.isdecimal() and int(seconds) > 0):
            raise InputError(
                Kind.BAD_OPTION,
                f"--dataflow_service_options {option}: must be a whole number of seconds, such as "
                f"{_WALLTIME}=172800",
            )


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
