"""PTransform: end a job that embeds and does not assemble."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.metrics import count
from beamscope.transforms.output.leases.held import release
from beamscope.transforms.output.leases.lease_file import LeaseKey

# Rows of all finished blocks that a start has met, its own and those before.
ROWS_DONE, ROWS_FAILED = "rows_done", "rows_failed"


@dataclasses.dataclass
class EndEmbedding(beam.PTransform):
    """Count the rows of finished blocks: ``PCollection[PartRef]`` to their number.

    When all are there, the lease of a job that nobody waits for is released.

    Attributes:
      lease: of the job on the output; None where it has none.
    """

    lease: LeaseKey | None = None

    def expand(self, parts: beam.PCollection[PartRef]) -> beam.PCollection[int]:
        """Count parts, and release the lease behind the last one."""
        return (
            parts
            | "CountRows" >> beam.Map(_counted)
            | "CountParts" >> beam.combiners.Count.Globally()
            | "Release" >> beam.Map(_released, self.lease)
        )


def _counted(part: PartRef) -> None:
    count(ROWS_DONE, part.planned)
    count(ROWS_FAILED, part.planned - part.embedded - part.left_out)


def _released(parts: int, lease: LeaseKey | None) -> int:
    release(lease)
    return parts
