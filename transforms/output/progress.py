"""The progress of a run on any runner: compare the finished parts with the planned blocks."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import list_parts
from beamscope.transforms.output.plan_index import PlanIndex, list_plans, read_index
from beamscope.transforms.output.plans import KnownPlan, PlanFile
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.storage import files

_READERS = 16


# The rate covers the ten minutes before the last written part.
_RATE_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class PlanGlance:
    """The properties of an item that the header of its plan holds.

    Attributes:
      rows: number of planned patches or films; None if only reading the item tells.
      failed: whether the item failed as a whole.
    """

    rows: int | None
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
      items: number of requested slides or archives.
      items_planned: number of these that are planned.
      rows_planned: number of patches or films in the plans so far, for each of several models.
      rows_done: number of these in finished blocks, embedded or reported as problems.
      items_failed: number of planned items that failed as a whole.
      last_write: time of the last write of a plan or a part, seconds since 1970; None if there is
        none.
      rows_per_second: rate over the last ten minutes of work; None if unknown.
      rows_done_by_model: of several models, `rows_done` of each by column; empty for one.
    """

    items: int
    items_planned: int
    rows_planned: int
    rows_done: int
    items_failed: int = 0
    last_write: float | None = None
    rows_per_second: float | None = None
    rows_done_by_model: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """For what is planned so far, at the rate of the last minutes; None where it is unknown."""
        if not self.rows_per_second:
            return None
        return max(0, self.rows_planned - self.rows_done) / self.rows_per_second


class ProgressReader:
    """Read the progress of a run repeatedly, but open each plan only once.

    Attributes:
      layout: paths of the dataset.
      items: number of requested slides or archives.
      glance: function from a plan, which is asked for alone or known by the index, to its
        `PlanGlance`.
    """

    def __init__(
        self, layout: Layout, items: int, glance: Callable[[PlanFile], PlanGlance]
    ) -> None:
        self.layout = layout
        self.items = items
        self.glance = glance
        self._index: PlanIndex | None = None
        self._known: dict[tuple[files.FileInfo, float], PlanGlance] = {}

    def read(self) -> Progress:
        """Return the present progress from a listing of the plans and one of the parts."""
        # A sample in total is taken when every item is planned whole.
        of = self.layout
        plans = list_plans(of)
        if not plans:
            of = self.layout.whole
            plans = list_plans(of)
        glances = self._glances(plans, of)
        planned = {_item_of(plan.path): glance for plan, glance in glances.items()}
        parts = list_parts(self.layout)
        done: collections.Counter[str] = collections.Counter()
        by_model: collections.Counter[str] = collections.Counter()
        for part, rows in parts.items():
            _, item, fingerprint, _ = part.path.rsplit("/", 3)
            done[item] += rows
            by_model[fingerprint] += rows
        return Progress(
            self.items,
            sum(glance.rows is not None for glance in planned.values()),
            # An item that is still being counted has as many planned rows as finished ones.
            sum(
                done[item] if one.rows is None else one.rows * len(self.layout.each())
                for item, one in planned.items()
            ),
            sum(done.values()),
            sum(glance.failed for glance in planned.values()),
            max((file.modified for file in (*plans, *parts)), default=None),
            rate([(part.modified, rows) for part, rows in parts.items()]),
            {column: by_model[one] for column, one in self.layout.embeddings},
        )

    def known_items(self) -> set[str]:
        """Return the items whose plans have been read, as `file_name` writes them."""
        return {_item_of(plan.path) for plan, _ in self._known}

    def failed_items(self) -> set[str]:
        """Return those of them that failed as a whole when they were planned."""
        return {_item_of(plan.path) for (plan, _), one in self._known.items() if one.failed}

    def _glances(self, plans: list[files.FileInfo], of: Layout) -> dict[files.FileInfo, PlanGlance]:
        new = [plan for plan in plans if (plan, plan.modified) not in self._known]
        if new and self._index is None:
            self._index = read_index(of)
        with ThreadPoolExecutor(_READERS) as readers:
            glances = readers.map(self._glance, new)
            found = dict(zip(new, glances, strict=True))
        # Unknown numbers are read again the next time.
        self._known |= {
            (plan, plan.modified): one for plan, one in found.items() if one.rows is not None
        }
        return {plan: self._known.get((plan, plan.modified)) or found[plan] for plan in plans}

    def _glance(self, plan: files.FileInfo) -> PlanGlance:
        header = self._index.header(plan) if self._index is not None else None
        if header is not None:
            return self.glance(KnownPlan(header))
        try:
            # What the listing has said of a file in a store is not asked again.
            return self.glance(plan.path if files.is_local(plan.path) else plan)
        except (DamagedError, FileNotFoundError):
            # The job makes it again.
            return PlanGlance(None)


def rate(written: Sequence[tuple[float, int]]) -> float | None:
    """Return the rows per second over the last ten minutes of work.

    Args:
      written: for each part, the time when it was written in seconds, and its number of rows.

    Returns:
      the rate; None if there are fewer than two different times.
    """
    if not written:
        return None
    newest = max(moment for moment, _ in written)
    recent = [(moment, rows) for moment, rows in written if moment >= newest - _RATE_SECONDS]
    oldest = min(moment for moment, _ in recent)
    if newest <= oldest:
        return None
    # The time for the oldest part lies before it was written.
    return sum(rows for moment, rows in recent if moment > oldest) / (newest - oldest)


def _item_of(plan: str) -> str:
    return plan.rsplit("/", 1)[-1].removesuffix(".arrow")
