"""PTransform: plan items, and drop the blocks that an earlier start finished."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.steps import Step
from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.found import Found, find_found
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import (
    blocks_of_all,
    delete_parts,
    finished_parts,
    parts_among,
    parts_of_plan,
)
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.ptransforms.damage import damaged_part, damaged_plan
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.output.share import Share
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
      share: of the job that is done here; None for all of it. What is not in it gives nothing.
      found: what this start has found in an output in a store; None where items are looked for one
        by one.
    """

    planner: ItemPlanner[Any, Any]
    layout: Layout
    guard: Guard | None = None
    share: Share | None = None
    found: Found | None = None

    def expand(self, requests: beam.PCollection[Any]) -> beam.pvalue.DoOutputsTuple:
        """Plan each item once, on any free worker."""
        plan = _PlanItemFn(self.planner, self.layout, self.guard, self.share, self.found)
        return (
            requests
            | "SpreadItems" >> beam.Reshuffle()
            | "PlanItem" >> beam.ParDo(plan).with_outputs(PARTS, ITEMS, main=BLOCKS)
        )


def takes_some_of(share: Share | None, planner: ItemPlanner[Any, Any], request: Any) -> bool:
    """Return whether some of an item belongs to a share; whoever does a block has to plan it."""
    return share is None or planner.shared_by_block(request) or share.takes(request.id)


@dataclasses.dataclass
class _PlanItemFn(beam.DoFn):
    planner: ItemPlanner[Any, Any]
    layout: Layout
    guard: Guard | None
    share: Share | None
    found: Found | None = None

    def start_bundle(self) -> None:
        self._suspects: list[Any] = []

    def process(self, request: Any) -> Iterator[Any]:
        if not takes_some_of(self.share, self.planner, request):
            return
        known = find_found(self.found, self.layout, request.id)
        if known is not None:
            sizes = self.planner.sizes_in(known.header)
            parts = parts_among(known.parts, request.id, sizes, damaged_part)
            if len(blocks_of_all(self.layout, parts)) == len(sizes):
                count(f"{self.planner.items}_planned_before")
                yield from self._with_parts(request, None, parts)
                return
        plan = self._find(request) if known is None else self._read(request)
        if plan is not None:
            count(f"{self.planner.items}_planned_before")
        elif self.guard is None:
            plan = self._make(request)
        else:
            attempt = self.guard.begin(self._step(request))
            if attempt is None:
                # It may be what ended its process: when nothing else is at work.
                self._suspects.append(request)
                return
            try:
                plan = self._make_guarded(request, self.guard)
            finally:
                attempt.end()
        yield from self._planned(request, plan)

    def _takes_block(self, request: Any, index: int) -> bool:
        if self.share is None or not self.planner.shared_by_block(request):
            return True
        return self.share.takes(f"{request.id}/{index}")

    def _step(self, request: Any) -> Step:
        if self.share is not None and self.planner.shared_by_block(request):
            return Step(request.id, slot=self.share.slot)
        return Step(request.id)

    def _find(self, request: Any) -> Any:
        return self._unless_damaged(self.planner.find, request)

    def _read(self, request: Any) -> Any:
        return self._unless_damaged(self.planner.read, request)

    def _unless_damaged(self, find: Callable[[Layout, Any], Any], request: Any) -> Any:
        try:
            return find(self.layout, request)
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
        attempt = self.guard.begin_alone(self._step(request))
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
        step = self._step(request)
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
        parts = finished_parts(
            self.layout,
            request.id,
            planner.block_sizes(plan),
            damaged_part,
            functools.partial(self._takes_block, request),
        )
        yield from self._with_parts(request, plan, parts)

    def _with_parts(self, request: Any, plan: Any, parts: list[PartRef]) -> Iterator[Any]:
        """Yield the parts of an item, and the blocks that are left; no plan says that none is."""
        planner = self.planner
        done = blocks_of_all(self.layout, parts)
        # Of a block that only some of several models have done, parts are found when it is read.
        parts = [part for part in parts if part.key.index in done]
        count("blocks_embedded_before", len(parts))
        for part in parts:
            yield beam.pvalue.TaggedOutput(PARTS, part)
        blocks = planner.blocks(plan, done) if plan is not None else iter(())
        if self.share is not None and planner.shared_by_block(request):
            blocks = (block for block in blocks if self._takes_block(request, block.key.index))
        yield from blocks
        yield beam.pvalue.TaggedOutput(ITEMS, request.id)
