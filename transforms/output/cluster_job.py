"""The record of a job on a cluster, ``.beamscope/cluster_job.json``."""

from __future__ import annotations

import dataclasses
import json

from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.storage import files


@dataclasses.dataclass(frozen=True)
class ClusterJob:
    """A job that was submitted to a cluster.

    Attributes:
      runner: such as ``Dataflow``.
      id: as the cluster calls the job.
      url: where a person can look at it; empty where there is no such place.
    """

    runner: str
    id: str
    url: str = ""


def write_cluster_job(root: str, job: ClusterJob) -> None:
    """Write the record of the job that was submitted last for an output."""
    content = json.dumps(dataclasses.asdict(job)).encode()
    files.write_bytes(_path(root), content)


def read_cluster_job(root: str) -> ClusterJob | None:
    """Return the job that was submitted last for an output; None where none was."""
    path = _path(root)
    if not files.exists(path):
        return None
    try:
        return ClusterJob(**json.loads(files.read_bytes(path)))
    except (ValueError, TypeError):
        # Damaged: it names nobody, and nothing depends on it.
        return None


def _path(root: str) -> str:
    return files.join(root, WORK_DIRECTORY, "cluster_job.json")
