"""PTransform: spread blocks over workers, so that few of them fetch the same remote slide."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.storage import files

# At 256 patches a block, some 4,000 patches for each time that a slide is fetched.
BLOCKS_PER_FETCH = 16


@dataclasses.dataclass
class SpreadBlocks(beam.PTransform):
    """Spreads blocks: ``PCollection[SlideBlock]`` to the same, free to go to any worker.

    Blocks of a local slide go one by one. Those of a remote slide go in runs, each run to one
    worker, so that a slide of n blocks is fetched by n / `blocks_per_fetch` workers at most.

    Attributes:
      blocks_per_fetch: blocks in a run of a remote slide.
      accelerator: resource hint of the step that reads; None for none. The last step here has it
        too, so that a run stays together: a runner fuses only steps with the same hint.
    """

    blocks_per_fetch: int = BLOCKS_PER_FETCH
    accelerator: str | None = None

    def expand(self, blocks: beam.PCollection[SlideBlock]) -> beam.PCollection[SlideBlock]:
        """Groups blocks by run; a few KB each are shuffled."""
        in_order = beam.FlatMap(lambda run: sorted(run[1], key=lambda block: block.key))
        if self.accelerator is not None:
            in_order = in_order.with_resource_hints(accelerator=self.accelerator)
        return (
            blocks
            | "KeyByRun" >> beam.Map(_keyed, self.blocks_per_fetch)
            | "GroupRuns" >> beam.GroupByKey()
            | "InOrder" >> in_order
        )


def _keyed(block: SlideBlock, blocks_per_fetch: int) -> tuple[tuple[str, int], SlideBlock]:
    run = block.key.index if files.is_local(block.uri) else block.key.index // blocks_per_fetch
    return (block.key.item_id, run), block
