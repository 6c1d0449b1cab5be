"""PTransform: plan items, and drop the blocks that an earlier start finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import delete_parts, finished_parts, parts_of_plan
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.ptransforms.damage import damaged_part, damaged_plan
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problems import InputError, JobStoppedError
from beamscope.transforms.read_ahead import in_global_window
from beamscope.transforms.storage import files

BLOCKS = "blocks"
PARTS = "parts"
ITEMS = "items"


@dataclasses.dataclass
class PlanItems(beam.PTransform):
    """Plan items into blocks.

    The input is a ``PCollection`` of requests. The output has three named collections: ``blocks``
    to embed, ``parts`` (`PartRef`s of finished blocks) and ``items`` (the id of every item).

    Attributes:
      planner: the job's planner.
      layout: paths of the dataset, where plans are written; one without the fingerprint of an
        embedding gives items alone.
      guard: the job's guard; without one, an unexpected error at an item ends the job.
    """

    planner: ItemPlanner[Any, Any]
    layout: Layout
    guard: Guard | None = None

    def expand(self, requests: beam.PCollection[Any]) -> beam.pvalue.DoOutputsTuple:
        """Plan each item once, on any free worker."""
        return (
            requests
            | "SpreadItems" >> beam.Reshuffle()
            | "PlanItem"
            >> beam.ParDo(_PlanItemFn(self.planner, self.layout, self.guard)).with_outputs(
                PARTS, ITEMS, main=BLOCKS
            )
        )


@dataclasses.dataclass
class _PlanItemFn(beam.DoFn):
    planner: ItemPlanner[Any, Any]
    layout: Layout
    guard: Guard | None

    def start_bundle(self) -> None:
        self._suspects: list[Any] = []

    def process(self, request: Any) -> Iterator[Any]:
        plan = self._find(request)
        if plan is not None:
            count(f"{self.planner.items}_planned_before")
        elif self.guard is None:
            plan = self._make(request)
        else:
            attempt = self.guard.begin(Step(request.id))
            if attempt is None:
                # It may be what ended its process: when nothing else is at work.
                self._suspects.append(request)
                return
            try:
                plan = self._make_guarded(request, self.guard)
            finally:
                attempt.end()
        yield from self._planned(request, plan)

    def _find(self, request: Any) -> Any:
        try:
            return self.planner.find(self.layout, request)
        except DamagedError as error:
            files.delete([error.path])
            damaged_plan(error)
            return None

    def finish_bundle(self) -> Iterator[Any]:
        for request in self._suspects:
            for element in self._planned(request, self._make_alone(request)):
                if isinstance(element, beam.pvalue.TaggedOutput):
                    yield beam.pvalue.TaggedOutput(element.tag, in_global_window(element.value))
                else:
                    yield in_global_window(element)
        self._suspects = []

    def _make_alone(self, request: Any) -> Any:
        assert self.guard is not None
        attempt = self.guard.begin_alone(Step(request.id))
        try:
            if attempt.lost is None:
                return self._make_guarded(request, self.guard)
            plan = self.planner.failed(request, attempt.lost)
            if plan is None:
                raise JobStoppedError(f"{request.id}: {attempt.lost.message}")
            self._write(request, plan)
            return plan
        finally:
            attempt.end()

    def _make_guarded(self, request: Any, guard: Guard) -> Any:
        step = Step(request.id)
        try:
            with guard.watch(step, "plan"):
                plan = self._make_only(request)
            guard.worked("plan")
        except JobStoppedError:
            raise
        except InputError as error:
            guard.worked("plan")
            plan = self.planner.failed(request, error)
            if plan is None:
                raise
        except Exception as error:
            plan = self.planner.failed(request, guard.defect(step, "plan", error))
            if plan is None:
                raise
        self._write(request, plan)
        return plan

    def _make(self, request: Any) -> Any:
        plan = self._make_only(request)
        self._write(request, plan)
        return plan

    def _make_only(self, request: Any) -> Any:
        with timed(f"plan_{self.planner.items}"):
            return self.planner.make(self.layout, request)

    def _write(self, request: Any, plan: Any) -> None:
        planner, layout = self.planner, self.layout
        # What was embedded under another plan must not be taken for blocks of this one.
        if files.list_files(layout.all_item_parts(request.id)):
            delete_parts(layout, request.id, keep=self._kept(request, plan))
        planner.write(layout, request, plan)
        count(f"{planner.items}_planned")

    def _kept(self, request: Any, plan: Any) -> frozenset[int]:
        planner, layout = self.planner, self.layout
        if files.exists(layout.plan(request.id)):
            return planner.kept_blocks(layout, request, plan)
        # The plan before was damaged, or is lost.
        digest = planner.digest(request, plan)
        return parts_of_plan(layout, request.id, digest) if digest else frozenset()

    def _planned(self, request: Any, plan: Any) -> Iterator[Any]:
        planner = self.planner
        if not self.layout.fingerprint:
            # Nothing is to be embedded: there is a plan now, and that is all.
            yield beam.pvalue.TaggedOutput(ITEMS, request.id)
            return
        parts = finished_parts(self.layout, request.id, planner.block_sizes(plan), damaged_part)
        count("blocks_embedded_before", len(parts))
        for part in parts:
            yield beam.pvalue.TaggedOutput(PARTS, part)
        yield from planner.blocks(plan, frozenset(part.key.index for part in parts))
        yield beam.pvalue.TaggedOutput(ITEMS, request.id)
