"""Progress of a run on any runner: the parts that are there against the blocks that are planned."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from transforms import files
from transforms.output.layout import Layout, run_record
from transforms.output.parts import list_parts

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
      count_rows: the number of rows that the plan in a file has.
    """

    def __init__(self, layout: Layout, items: int, count_rows: Callable[[str], int]) -> None:
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
            self._rows_of.update(zip(new, counts, strict=True))
        return Progress(
            self.items,
            len(plans),
            sum(self._rows_of[file] for file in plans),
            sum(list_parts(self.layout).values()),
        )


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What ``run.json`` says of the run that an output belongs to."""

    job: str
    fingerprint: str
    items: int


def read_run_record(root: str) -> RunRecord | None:
    """The record of the run in a directory; None where there is none."""
    path = run_record(root)
    if not files.exists(path):
        return None
    content = json.loads(files.read_bytes(path))
    return RunRecord(content["job"], content["fingerprint"], content["items"])
