import collections
import dataclasses
import os
from pathlib import Path

import pytest

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.progress import (
    PlanGlance,
    Progress,
    ProgressReader,
    rate,
)
from beamscope.transforms.storage import files
from tests.output.samples import block_of, layout_in


class _Plans:
    """Plans that are files of as many bytes as they have rows, and say how often they are read."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.read: collections.Counter[str] = collections.Counter()

    def write(self, item_id: str, rows: int) -> None:
        files.write_bytes(self.layout.plan(item_id), b"r" * rows)

    def glance(self, path: str) -> PlanGlance:
        self.read[Path(path).name] += 1
        return PlanGlance(files.size(path))


def _counts(progress: Progress) -> Progress:
    """The progress without what depends on the time."""
    return dataclasses.replace(progress, last_write=None, rows_per_second=None)


def test_progress_is_parts_against_plans(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    plans = _Plans(layout)
    reader = ProgressReader(layout, 3, plans.glance)
    seen = [reader.read()]
    plans.write("a", 8)
    seen.append(reader.read())
    write_part(layout, block_of("a", 0, 4))
    plans.write("b", 0)
    seen.append(reader.read())
    write_part(layout, block_of("a", 1, 4, failed=4))
    write_part(layout, block_of("a", 0, 4))
    files.write_bytes(layout.plan_picture("a"), b"no plan")
    seen.append(reader.read())
    assert [_counts(one) for one in seen] == [
        Progress(items=3, items_planned=0, rows_planned=0, rows_done=0),
        Progress(items=3, items_planned=1, rows_planned=8, rows_done=0),
        Progress(items=3, items_planned=2, rows_planned=8, rows_done=4),
        Progress(items=3, items_planned=2, rows_planned=8, rows_done=8),
    ]
    assert plans.read == {"a.arrow": 1, "b.arrow": 1}


def test_whole_plans_are_the_progress_until_a_sample_is_taken_from_them(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    whole, plans = _Plans(layout.whole), _Plans(layout)
    reader = ProgressReader(layout, 2, plans.glance)
    whole.write("a", 80)
    whole.write("b", 20)
    seen = [reader.read()]
    plans.write("a", 7)
    plans.write("b", 3)
    write_part(layout, block_of("a", 0, 4))
    seen.append(reader.read())
    assert [_counts(one) for one in seen] == [
        Progress(items=2, items_planned=2, rows_planned=100, rows_done=0),
        Progress(items=2, items_planned=2, rows_planned=10, rows_done=4),
    ]


def test_a_plan_made_anew_is_read_anew(tmp_path: Path) -> None:
    plans = _Plans(layout_in(tmp_path))
    reader = ProgressReader(plans.layout, 1, plans.glance)
    for rows in (8, 5):
        plans.write("a", rows)
        assert reader.read().rows_planned == rows


def test_progress_of_another_run_does_not_count(tmp_path: Path) -> None:
    other = Layout(str(tmp_path), "p1", "fedcba9876543210")
    write_part(other, block_of("a", 0, 4))
    plans = _Plans(layout_in(tmp_path))
    assert _counts(ProgressReader(plans.layout, 1, plans.glance).read()) == Progress(1, 0, 0, 0)


def test_progress_reader_errors(tmp_path: Path) -> None:
    def refuse(path: str) -> PlanGlance:
        raise OSError(f"{Path(path).name}: no plan")

    plans = _Plans(layout_in(tmp_path))
    plans.write("a", 1)
    with pytest.raises(OSError, match=r"a\.arrow: no plan"):
        ProgressReader(plans.layout, 1, refuse).read()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([], None),
        ([(10.0, 4)], None),
        ([(10.0, 4), (10.0, 4)], None),
        # What the first part took is not known.
        ([(10.0, 100), (12.0, 6), (14.0, 2)], 2.0),
        # An hour's pause does not count.
        ([(0.0, 9), (3600.0, 5), (3610.0, 20)], 2.0),
    ],
)
def test_rate(written: list[tuple[float, int]], expected: float | None) -> None:
    assert rate(written) == expected


def test_what_is_left_and_when_was_the_last_write(tmp_path: Path) -> None:
    plans = _Plans(layout_in(tmp_path))
    plans.write("a", 20)
    for index, moment in enumerate((1000, 1002)):
        path = write_part(plans.layout, block_of("a", index, 4)).path
        os.utime(path, (moment, moment))
    os.utime(plans.layout.plan("a"), (900, 900))
    progress = ProgressReader(plans.layout, 1, plans.glance).read()
    assert (progress.last_write, progress.rows_per_second) == (1002, 2.0)
    assert progress.seconds_left == 6.0
    assert Progress(1, 0, 0, 0).seconds_left is None


def test_failed_items_are_counted(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    for name in ("good", "bad"):
        files.write_bytes(layout.plan(name), name.encode())
    reader = ProgressReader(layout, 2, lambda path: PlanGlance(0, failed="bad" in path))
    assert reader.read().items_failed == 1
