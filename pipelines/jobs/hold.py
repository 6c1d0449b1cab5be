"""Hold the lease on an output while a job runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.flink import runs_on_flink_cluster
from beamscope.pipelines.supervisor import is_supervised, stop_in_order
from beamscope.transforms.faults.run import run_id
from beamscope.transforms.output.leases.held import HeldLease, held
from beamscope.transforms.output.leases.lease_file import (
    EVERYTHING,
    QUIET_BEFORE_WORKERS,
    QUIET_ON_CLUSTER,
    QUIET_SECONDS,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.storage import files


@contextlib.contextmanager
def hold_output(
    root: str,
    options: PipelineOptions | None = None,
    *,
    cloud_job: str = "",
    slot: str = EVERYTHING,
) -> Iterator[HeldLease]:
    """Hold the lease on an output while the body runs.

    Where the workers may outlive this process, they keep the lease too.

    Args:
      root: the output directory.
      options: Beam's options of the job; None where all work is done in this process.
      cloud_job: name of a job that nobody waits for. Such a job shares its lease with another one
        of its name, because its runner refuses the second.
      slot: of the lease: everything, or the share that the job does.

    Raises:
      InputError: ``already_running``: another job is writing the output; ``unwritable_output``.
      JobStoppedError: another job took the lease over.
    """
    # From here on something is begun that has to be ended.
    stop_in_order()
    on_cluster = options is not None and workers_outlive_this_process(options)
    quiet = QUIET_BEFORE_WORKERS if cloud_job else QUIET_ON_CLUSTER
    with contextlib.ExitStack() as stack:
        with files.refusals(Kind.UNWRITABLE_OUTPUT, f"--output {root}: cannot be written to: "):
            lease = stack.enter_context(
                held(
                    root,
                    run_id(),
                    token=f"cloud-{cloud_job}" if cloud_job else "",
                    by_workers=on_cluster,
                    detached=bool(cloud_job),
                    quiet_seconds=quiet if on_cluster else QUIET_SECONDS,
                    slot=slot,
                    process=os.getppid() if is_supervised() else os.getpid(),
                )
            )
        yield lease


def workers_outlive_this_process(options: PipelineOptions) -> bool:
    """Return whether a runner works on other machines, or in a pool of processes."""
    pool = options.view_as(PortableOptions).environment_type == "EXTERNAL"
    return pool or runs_on_dataflow(options) or runs_on_flink_cluster(options)
