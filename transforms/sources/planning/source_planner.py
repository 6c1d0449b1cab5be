"""Sources of images as items of a job: how they are planned, found again, and cut into blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import blocks_of_all, finished_parts
from beamscope.transforms.output.planner import ItemPlanner, OnDamage
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import archive_problem
from beamscope.transforms.sources.image_reading import SourceSettings
from beamscope.transforms.sources.planning.plan import (
    ImagesToRead,
    SourcePlan,
    StreamToRead,
    plan_source,
)
from beamscope.transforms.sources.planning.plan_file import (
    digest_of_plan,
    earlier_plan,
    find_plan,
    header_holds,
    read_plan,
    write_plan,
)
from beamscope.transforms.sources.planning.replan import replan, same_blocks
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.storage.files import FileInfo


@dataclasses.dataclass(frozen=True)
class SourcePlanner(ItemPlanner[Source, SourcePlan]):
    """Plan sources of images.

    Attributes:
      settings: how images become images.
    """

    settings: SourceSettings

    items = "sources"

    def find(self, layout: Layout, request: Source) -> SourcePlan | None:
        """Return the plan of an earlier start, where the source has not changed."""
        return find_plan(layout, request)

    def holds(
        self,
        header: Mapping[str, Any],
        request: Source,
        seen: Mapping[str, FileInfo | None],
    ) -> bool:
        """Return whether a source has not changed since it was planned."""
        return header["known"] and header_holds(header, request, seen)

    def sizes_in(self, header: Mapping[str, Any]) -> Sequence[int]:
        """Return how many images each block has."""
        sizes: Sequence[int] = header["block_sizes"]
        return sizes

    def read(self, layout: Layout, request: Source) -> SourcePlan | None:
        """Return the plan of an earlier start that holds."""
        try:
            return read_plan(layout.plan(request.id))
        except FileNotFoundError:
            return None

    def make(self, layout: Layout, request: Source) -> SourcePlan:
        """Plan a source from its listing; of a directory that has changed, keep its blocks."""
        now = self.plan(request)
        return replan(earlier_plan(layout, request), now, self.settings.block_size)

    def plan(self, request: Source) -> SourcePlan:
        """Plan a source from its listing."""
        return plan_source(request, self.settings)

    def failed(self, request: Source, error: InputError) -> SourcePlan:
        """Return the plan of a source of which nothing can be used."""
        return SourcePlan(request, archive_problems=(archive_problem(request, error, "plan"),))

    def kept_blocks(self, layout: Layout, request: Source, plan: SourcePlan) -> frozenset[int]:
        """Return the blocks whose images are the same in the plan that is replaced."""
        return same_blocks(earlier_plan(layout, request), plan)

    def write(self, layout: Layout, request: Source, plan: SourcePlan) -> None:  # noqa: ARG002
        """Write a plan."""
        write_plan(layout, plan)

    def digest(self, request: Source, plan: SourcePlan) -> str:  # noqa: ARG002
        """Return the digest that the file of the plan has."""
        return digest_of_plan(plan)

    def block_sizes(self, plan: SourcePlan) -> Sequence[int] | None:
        """Return how many images each block has; None for a tar.gz that has not been read."""
        return plan.block_sizes if plan.known else None

    def blocks(
        self, plan: SourcePlan, done: frozenset[int]
    ) -> Iterator[ImagesToRead | StreamToRead]:
        """Yield the blocks that are not finished; of a tar.gz with any of those, all of it."""
        if plan.source.kind != "tgz":
            yield from (block for block in plan.blocks() if block.key.index not in done)
        elif not plan.known or len(done) < len(plan.block_sizes):
            yield StreamToRead(plan.source, done)

    def shared_by_block(self, request: Source) -> bool:
        """Return whether several machines can read it: a tar.gz is read from end to end."""
        return request.kind != "tgz"

    def block_rows(self, block: ImagesToRead | StreamToRead) -> int | None:
        """Return the number of images of a block; None for a tar.gz."""
        return len(block.members) if isinstance(block, ImagesToRead) else None

    def found_done(
        self, layout: Layout, block: ImagesToRead | StreamToRead, on_damage: OnDamage
    ) -> tuple[list[PartRef], ImagesToRead | StreamToRead | None]:
        """Return the parts that have been written since, and what is left to read."""
        if isinstance(block, ImagesToRead):
            return super().found_done(layout, block, on_damage)
        parts = finished_parts(layout, block.source.id, None, on_damage)
        done = blocks_of_all(layout, parts)
        new = [part for part in parts if part.key.index in done - block.done]
        return new, dataclasses.replace(block, done=block.done | done)
