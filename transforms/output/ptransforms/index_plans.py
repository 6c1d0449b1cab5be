"""PTransform: write the headers of plans into the index of an output in a store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beamscope.transforms.output.layout import Layout, file_name
from beamscope.transforms.output.leases.lease_file import EVERYTHING
from beamscope.transforms.output.plan_index import update_index
from beamscope.transforms.output.share import Share


@dataclasses.dataclass
class IndexPlans(beam.PTransform):
    """Write an index when all items are planned: ``PCollection`` of their ids to their number.

    So `beamscope status` and a later start need not ask for each plan.

    Attributes:
      layout: paths of the dataset.
      share: of the job that is done here; None for all of it.
    """

    layout: Layout
    share: Share | None = None

    def expand(self, items: beam.PCollection[Any]) -> beam.PCollection[int]:
        """Wait for the last item, and write the index."""
        return (
            items
            | "GatherItems" >> beam.combiners.ToList()
            | "WriteIndex" >> beam.Map(_indexed, self.layout, self.share)
        )


def _indexed(items: Sequence[str], layout: Layout, share: Share | None) -> int:
    if share is None:
        update_index(layout, EVERYTHING)
    else:
        own = {file_name(item) for item in items}
        update_index(layout, share.slot, own.__contains__)
    return len(items)
