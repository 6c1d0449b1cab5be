import collections
from pathlib import Path

import pytest

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.progress import (
    Progress,
    ProgressReader,
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

    def count_rows(self, path: str) -> int:
        self.read[Path(path).name] += 1
        return files.size(path)


def test_progress_is_parts_against_plans(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    plans = _Plans(layout)
    reader = ProgressReader(layout, 3, plans.count_rows)
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
    assert seen == [
        Progress(items=3, items_planned=0, rows_planned=0, rows_done=0),
        Progress(items=3, items_planned=1, rows_planned=8, rows_done=0),
        Progress(items=3, items_planned=2, rows_planned=8, rows_done=4),
        Progress(items=3, items_planned=2, rows_planned=8, rows_done=8),
    ]
    assert plans.read == {"a.arrow": 1, "b.arrow": 1}


def test_a_plan_made_anew_is_read_anew(tmp_path: Path) -> None:
    plans = _Plans(layout_in(tmp_path))
    reader = ProgressReader(plans.layout, 1, plans.count_rows)
    for rows in (8, 5):
        plans.write("a", rows)
        assert reader.read().rows_planned == rows


def test_progress_of_another_run_does_not_count(tmp_path: Path) -> None:
    other = Layout(str(tmp_path), "p1", "fedcba9876543210")
    write_part(other, block_of("a", 0, 4))
    plans = _Plans(layout_in(tmp_path))
    assert ProgressReader(plans.layout, 1, plans.count_rows).read() == Progress(1, 0, 0, 0)


def test_progress_reader_errors(tmp_path: Path) -> None:
    def refuse(path: str) -> int:
        raise OSError(f"{Path(path).name}: no plan")

    plans = _Plans(layout_in(tmp_path))
    plans.write("a", 1)
    with pytest.raises(OSError, match=r"a\.arrow: no plan"):
        ProgressReader(plans.layout, 1, refuse).read()
