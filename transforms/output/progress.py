"""Progress of a run on any runner: the parts that are there against the blocks that are planned."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.output.layout import Layout, part_name
from beamscope.transforms.storage import files

_READERS = 16


# The rate is that of the last ten minutes in which a part was written.
_RATE_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class PlanGlance:
    """What the header of a plan tells of an item.

    Attributes:
      rows: how many patches or films are planned; None where only reading all of it tells.
      failed: whether nothing can be done for the item.
    """

    rows: int | None
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
      items: slides or archives that were asked for.
      items_planned: of those, how many are planned.
      rows_planned: patches or films in the plans so far.
      rows_done: of those, how many are in finished blocks, embedded or reported as problems.
      items_failed: of the planned ones, how many have failed as a whole.
      last_write: when a plan or a part was written last, seconds since 1970; None where none is.
      rows_per_second: over the last ten minutes of work; None where that is not known.
    """

    items: int
    items_planned: int
    rows_planned: int
    rows_done: int
    items_failed: int = 0
    last_write: float | None = None
    rows_per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """For what is planned so far, at the rate of the last minutes; None where it is unknown."""
        if not self.rows_per_second:
            return None
        return max(0, self.rows_planned - self.rows_done) / self.rows_per_second


class ProgressReader:
    """Reads the progress of one run again and again; each plan is opened only once.

    Attributes:
      layout: of the dataset.
      items: how many slides or archives were asked for.
      glance: what the plan in a file tells of its item.
    """

    def __init__(self, layout: Layout, items: int, glance: Callable[[str], PlanGlance]) -> None:
        self.layout = layout
        self.items = items
        self.glance = glance
        self._known: dict[tuple[files.FileInfo, float], PlanGlance] = {}

    def read(self) -> Progress:
        """Return the progress now, from a listing of the plans and one of the parts."""
        plans = [
            file for file in files.list_files(self.layout.plans) if file.path.endswith(".arrow")
        ]
        glances = self._glances(plans)
        planned = {_item_of(plan.path): glance for plan, glance in glances.items()}
        parts = _own_parts(self.layout)
        done: collections.Counter[str] = collections.Counter()
        for part, rows in parts.items():
            done[part.path.rsplit("/", 3)[1]] += rows
        return Progress(
            self.items,
            sum(glance.rows is not None for glance in planned.values()),
            # Of an item that is still being counted, as many are planned as are done.
            sum(done[item] if one.rows is None else one.rows for item, one in planned.items()),
            sum(done.values()),
            sum(glance.failed for glance in planned.values()),
            max((file.modified for file in (*plans, *parts)), default=None),
            rate([(part.modified, rows) for part, rows in parts.items()]),
        )

    def _glances(self, plans: list[files.FileInfo]) -> dict[files.FileInfo, PlanGlance]:
        new = [plan for plan in plans if (plan, plan.modified) not in self._known]
        with ThreadPoolExecutor(_READERS) as readers:
            glances = readers.map(lambda plan: self.glance(plan.path), new)
            found = dict(zip(new, glances, strict=True))
        # What is not known yet may be known at the next look.
        self._known |= {
            (plan, plan.modified): one for plan, one in found.items() if one.rows is not None
        }
        return {plan: self._known.get((plan, plan.modified)) or found[plan] for plan in plans}


def rate(written: Sequence[tuple[float, int]]) -> float | None:
    """Return the rows a second of the last ten minutes in which any were written.

    Args:
      written: when each part was written, seconds, and how many rows it has.

    Returns:
      None where fewer than two moments are known.
    """
    if not written:
        return None
    newest = max(moment for moment, _ in written)
    recent = [(moment, rows) for moment, rows in written if moment >= newest - _RATE_SECONDS]
    oldest = min(moment for moment, _ in recent)
    if newest <= oldest:
        return None
    # What the oldest part took was spent before it was written.
    return sum(rows for moment, rows in recent if moment > oldest) / (newest - oldest)


def _own_parts(layout: Layout) -> dict[files.FileInfo, int]:
    """The parts of this embedding, with how many rows each was planned to have."""
    folder = f"/{layout.fingerprint}/"
    named = ((file, part_name(file.path)) for file in files.list_files(layout.parts))
    return {file: name[1] for file, name in named if name is not None and folder in file.path}


def _item_of(plan: str) -> str:
    return plan.rsplit("/", 1)[-1].removesuffix(".arrow")
