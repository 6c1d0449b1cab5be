"""The wiring that every embedding job shares.

plan ─ drop what is done ─ spread ─ find ─ read ─ RunInference ─ write part ─ sum up ─ assemble

Of many items, these steps up to the parts are there once for each of a few waves of items. Of
several models, each has a RunInference and writes parts of its own, behind one step that reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler

from beamscope.pipelines.jobs.job import Steps
from beamscope.pipelines.jobs.waves import in_waves
from beamscope.transforms.blocks import PartRef
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.inference.ptransforms.embed_by_several import EmbedBySeveral
from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.found import Found
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plans import PlanFile
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.output.ptransforms.assemble import AssembleDataset
from beamscope.transforms.output.ptransforms.end_embedding import EndEmbedding
from beamscope.transforms.output.ptransforms.find_finished import FindFinished
from beamscope.transforms.output.ptransforms.find_parts import FindParts
from beamscope.transforms.output.ptransforms.index_plans import IndexPlans
from beamscope.transforms.output.ptransforms.plan_items import PlanItems, takes_some_of
from beamscope.transforms.output.ptransforms.sum_up_items import SumUpItems
from beamscope.transforms.output.ptransforms.write_parts import WriteParts
from beamscope.transforms.output.share import Share
from beamscope.transforms.storage import files


def build_pipeline(
    pipeline: beam.Pipeline,
    requests: Sequence[Any],
    steps: Steps,
    handlers: Sequence[ModelHandler],
    dataset: DatasetSpec,
    guard: Guard | None = None,
    *,
    assembles: bool = True,
    share: Share | None = None,
    accelerator: str | None = None,
    found: Found | None = None,
) -> None:
    """Add the transforms of a job to a pipeline. Each of them can be used alone, too.

    Args:
      pipeline: the pipeline.
      requests: the items to embed.
      steps: the job's own steps.
      handlers: run the models, in the order of the dataset's columns; none if the steps encode
        images instead.
      dataset: describes the dataset to write, and its place.
      guard: of the job, for planning and reading; the handler has its own copy.
      assembles: whether the dataset is written at the end.
      share: which items and blocks are planned and embedded; None for all.
      accelerator: resource hint of the steps that find, read, embed and write; None for none.
      found: what this start has found in an output in a store; None where items are looked for one
        by one.
    """
    if hasattr(steps.read, "guard"):
        steps.read.guard = guard
    if hasattr(steps.spread, "accelerator"):
        steps.spread.accelerator = accelerator
    planning_guard = guard
    if steps.prepare is not None:
        steps.prepare.guard, planning_guard = guard, None
    own = [one for one in requests if takes_some_of(share, steps.planner, one)]
    planned_before = found is not None and found.items >= len(own)
    # A sample of all items needs all of them at once.
    at_once = steps.prepare is not None or planned_before
    waves = [own] if at_once else in_waves(own)
    plan = PlanItems(steps.planner, dataset.layout, planning_guard, share, found)
    make = _ReadAndEmbed(steps, tuple(handlers), dataset.layout)
    if accelerator is not None:
        # Of all these steps together: a runner fuses only steps with the same hint, and what lies
        # between two that are not fused is shuffled, which here would be the pixels.
        make.with_resource_hints(accelerator=accelerator)
    items: list[beam.PCollection[str]] = []
    parts: list[beam.PCollection[PartRef]] = []
    for number, some in enumerate(waves, 1):
        # Of one wave steps have no number. No step stands around those of a wave, because Flink
        # names a stage by the outermost steps, which then would not say what it does.
        of = str(number) if len(waves) > 1 else ""
        asked = pipeline | f"Requests{of}" >> beam.Create(list(some))
        if items:
            asked = asked | f"Wait{of}" >> beam.Map(_first, beam.pvalue.AsIter(items[-1]))
        if steps.prepare is not None and not (found is not None and found.drawn):
            asked = asked | "Prepare" >> steps.prepare
        planned = asked | f"Plan{of}" >> plan
        made = planned.blocks | f"Spread{of}" >> steps.spread | f"ReadAndEmbed{of}" >> make
        items.append(planned.items)
        parts += (planned.parts, *made)
    all_items = items | "AllItems" >> beam.Flatten()
    all_parts = parts | "AllParts" >> beam.Flatten()
    if not files.is_local(dataset.layout.root) and not planned_before:
        all_items | "Index" >> IndexPlans(dataset.layout, share)
    if assembles:
        _assemble({"items": all_items, "parts": all_parts}, steps, dataset, found)
    else:
        all_parts | "EndEmbedding" >> EndEmbedding(dataset.lease)


def _first(request: Any, _before: Any) -> Any:
    return request


@dataclasses.dataclass
class _ReadAndEmbed(beam.PTransform):
    """Find, read, embed and write: a ``PCollection`` of blocks to found parts and new ones."""

    steps: Steps
    handlers: tuple[ModelHandler, ...]
    layout: Layout

    def expand(
        self, blocks: beam.PCollection[Any]
    ) -> tuple[beam.PCollection[PartRef], beam.PCollection[PartRef]]:
        found = blocks | "Find" >> FindParts(self.steps.planner, self.layout)
        images = found.blocks | "Read" >> self.steps.read
        if len(self.handlers) > 1:
            new = images | "Embed" >> EmbedBySeveral(self.handlers, self.layout)
        else:
            new = images | "Embed" >> self._embed | "Write" >> WriteParts(self.layout)
        # Joined outside: to join parts needs no GPU.
        return found.parts, new

    @property
    def _embed(self) -> beam.PTransform:
        if self.handlers:
            return EmbedBlocks(self.handlers[0])
        assert self.steps.encode is not None
        return self.steps.encode


def build_assembly(
    pipeline: beam.Pipeline,
    requests: Sequence[Any],
    steps: Steps,
    dataset: DatasetSpec,
    glance: Callable[[PlanFile], PlanGlance],
    remedy: str,
    found: Found | None = None,
) -> None:
    """Add the transforms that write the dataset of what is embedded, and plan and embed nothing.

    Args:
      pipeline: the pipeline.
      requests: the items of the dataset.
      steps: the job's own steps.
      dataset: describes the dataset to write, and its place.
      glance: function from a plan to its `PlanGlance`.
      remedy: the command that embeds what is missing, for the error.
      found: as for `build_pipeline`.
    """
    find = FindFinished(steps.planner, dataset.layout, glance, remedy, found)
    asked = pipeline | "Requests" >> beam.Create(list(requests))
    _assemble(asked | "FindFinished" >> find, steps, dataset, found)


def _assemble(
    items: Mapping[str, beam.PCollection[Any]],
    steps: Steps,
    dataset: DatasetSpec,
    found: Found | None,
) -> None:
    outcomes = dict(items) | "SumUp" >> SumUpItems(steps.summary, dataset.layout, found)
    outcomes | "Assemble" >> AssembleDataset(dataset)
