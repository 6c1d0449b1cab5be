"""Plan a changed directory again, so that images that are the same stay in their blocks."""

from __future__ import annotations

import dataclasses
import itertools
import math

from beamscope.transforms.sources.archives.members import Member
from beamscope.transforms.sources.planning.plan import SourcePlan


def replan(earlier: SourcePlan | None, now: SourcePlan, block_size: int) -> SourcePlan:
    """Give each image of a directory, or of loose images, the block that it had.

    A block is kept where each of its images is still there and has the size that it had. The images
    of all other blocks, and new images, share the places of those blocks, and new places at the
    end. Where images have become so few that a place would be left empty, the last block is given
    up too, since the places are numbered without a gap.

    Archives are planned as they come: a member that was changed in place would not show.

    Args:
      earlier: the plan of an earlier start, of the same settings; None where there was none.
      now: the plan of the source as it is, in the order of names.
      block_size: most images in a block.

    Returns:
      a plan of exactly the images of `now`. Those of a block that is kept are in the order that
      they had; others are in the order of their names.
    """
    if earlier is None or not _same_place(earlier, now):
        return now
    there = {member.name: member for member in now.members}
    blocks: dict[int, tuple[Member, ...]] = {
        block.key.index: block.members
        for block in earlier.blocks()
        if all(there.get(member.name) == member for member in block.members)
    }
    places = len(earlier.block_sizes)
    while True:
        while places and places - 1 not in blocks:
            places -= 1
        placed = {member.name for block in blocks.values() for member in block}
        waiting = [member for member in now.members if member.name not in placed]
        free = [index for index in range(places) if index not in blocks]
        if len(waiting) >= len(free):
            break
        del blocks[places - 1]
    count = max(len(free), math.ceil(len(waiting) / block_size))
    free += range(places, places + count - len(free))
    blocks |= zip(free, _evenly(waiting, count), strict=True)
    ordered = [blocks[index] for index in range(len(blocks))]
    return dataclasses.replace(
        now,
        members=tuple(member for block in ordered for member in block),
        block_sizes=tuple(map(len, ordered)),
    )


def same_blocks(earlier: SourcePlan | None, plan: SourcePlan) -> frozenset[int]:
    """Return the indices of blocks that have the same images in both plans, in the same order."""
    if earlier is None or not _same_place(earlier, plan):
        return frozenset()
    return frozenset(
        before.key.index
        for before, after in zip(earlier.blocks(), plan.blocks(), strict=False)
        if before.members == after.members
    )


def _same_place(earlier: SourcePlan, now: SourcePlan) -> bool:
    one, other = earlier.source, now.source
    return one.kind in ("directory", "files") and (one.kind, one.uri) == (other.kind, other.uri)


def _evenly(members: list[Member], count: int) -> list[tuple[Member, ...]]:
    """Cut members into runs whose lengths differ by one at most."""
    ends = [len(members) * part // max(1, count) for part in range(count + 1)]
    return [tuple(members[start:end]) for start, end in itertools.pairwise(ends)]
