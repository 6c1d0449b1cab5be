"""The job on a cluster that was submitted last for an output."""

from __future__ import annotations

import dataclasses


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
