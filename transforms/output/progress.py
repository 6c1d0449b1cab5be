"""Progress of a run on any runner: the parts that are there against the blocks that are planned."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import list_parts
from beamscope.transforms.storage import files

_READERS = 16


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
      items: slides or archives that were asked for.
      items_planned: of those, how many are planned.
      rows_planned: patches or films in the plans so far.
      rows_done: of those, how many are in finished blocks, embedded or reported as problems.
    """

    items: int
    items_planned: int
    rows_planned: int
    rows_done: int


class ProgressReader:
    """Reads the progress of one run again and again; each plan is opened only once.

    Attributes:
      layout: of the dataset.
      items: how many slides or archives were asked for.
      count_rows: the number of rows that the plan in a file has; None where that is not known
        before all of it is read.
    """

    def __init__(self, layout: Layout, items: int, count_rows: Callable[[str], int | None]) -> None:
        self.layout = layout
        self.items = items
        self.count_rows = count_rows
        self._rows_of: dict[files.FileInfo, int] = {}

    def read(self) -> Progress:
        """The progress now, from a listing of the plans and one of the parts."""
        plans = [
            file for file in files.list_files(self.layout.plans) if file.path.endswith(".arrow")
        ]
        new = [file for file in plans if file not in self._rows_of]
        with ThreadPoolExecutor(_READERS) as readers:
            counts = readers.map(lambda file: self.count_rows(file.path), new)
            known = zip(new, counts, strict=True)
            self._rows_of.update((file, rows) for file, rows in known if rows is not None)
        planned = {_item_of(file.path): self._rows_of.get(file) for file in plans}
        done: collections.Counter[str] = collections.Counter()
        for path, rows in list_parts(self.layout).items():
            done[path.rsplit("/", 3)[1]] += rows
        return Progress(
            self.items,
            sum(rows is not None for rows in planned.values()),
            # Of an item that is still being counted, as many are planned as are done.
            sum(done[item] if rows is None else rows for item, rows in planned.items()),
            sum(done.values()),
        )


def _item_of(plan: str) -> str:
    return plan.rsplit("/", 1)[-1].removesuffix(".arrow")
