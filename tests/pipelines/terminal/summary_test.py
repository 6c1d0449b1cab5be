import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.jobs.slides import JOB as SLIDES
from beamscope.pipelines.terminal.summary import Finished, read_summary
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA
from beamscope.transforms.slides.settings import SlideSettings


def dataset(directory, slides, *, rows=10, problems=(), counts=(), job=SLIDES, model=()) -> Layout:
    """A finished dataset: slides are (id, status, reason, planned, embedded)."""
    layout = Layout(str(directory), "p1", "f1")
    statuses: dict[str, int] = {}
    table = []
    for slide_id, status, reason, planned, embedded in slides:
        statuses[status] = statuses.get(status, 0) + 1
        table.append(
            {"slide_id": slide_id, "uri": slide_id, "status": status, "reason": reason,
             "patches_planned": planned, "patches_embedded": embedded,
             "patches_failed": planned - embedded}
        )  # fmt: skip
    directory.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), layout.table(job.table_name))
    kinds: dict[str, int] = {}
    for problem in problems:
        kinds[problem["kind"]] = kinds.get(problem["kind"], 0) + 1
    pq.write_table(pa.Table.from_pylist(list(problems), PROBLEMS_SCHEMA), layout.problems)
    description = {
        "counts": {"rows": rows, job.table_name: statuses, "problems": kinds, **dict(counts)},
        "shards": [{"files": ["x"], "rows": rows}],
        "model": {"range_source": "option", "precision": "float32", **dict(model)},
        "options": {},
    }
    (directory / "dataset.json").write_text(json.dumps(description))
    return layout


def problem(item_id, kind="unreadable_region", message="no tile"):
    return {"item_id": item_id, "uri": item_id, "stage": "read", "kind": kind, "message": message}


def told(layout, job=SLIDES, max_failed=0.1, finished=None):
    summary = read_summary(job, SlideSettings(), layout, finished, max_failed=max_failed)
    return summary.text().splitlines(), summary.faults


def test_a_plain_success(tmp_path):
    layout = dataset(tmp_path, [("a", "done", None, 10, 10)])
    lines, faults = told(
        layout, finished=Finished(1.25, {"slides_planned": 1, "blocks_embedded": 2})
    )
    assert faults == ()
    assert lines == [
        "  slides    1 slide: 1 done",
        "  patches   10 planned = 10 embedded + 0 failed",
        "  time      1.2 s",
        "  problems  none",
        f"  dataset   10 rows in 1 shard in {tmp_path}",
        f"  picture   {layout.picture('a')}",
    ]


def test_the_first_problems_are_told_and_the_others_counted(tmp_path):
    problems = [problem(f"s{i}", message=f"tile {i}") for i in range(7)]
    problems.append(problem("t", "missing_mpp", "nothing says it"))
    layout = dataset(tmp_path, [("a", "partial", None, 20, 12)], problems=problems)
    lines, faults = told(layout)
    assert faults == ()
    start = lines.index("  problems  8")
    assert lines[start + 1 : start + 6] == [f"            s{i}: tile {i}" for i in range(5)]
    assert lines[start + 6] == (
        f"            and 1 missing_mpp, 2 unreadable_region more: beamscope problems {tmp_path}"
    )
    assert lines[start + 7] == (
        "            remedy: give mpp in a manifest, or --assume_mpp (--add: for just these); "
        "embedded slides stay"
    )


def test_empty_slides_are_counted_by_reason(tmp_path):
    slides = [("a", "done", None, 9, 9)]
    slides += [(f"e{i}", "empty", "no tissue found", 0, 0) for i in range(3)]
    slides += [(f"s{i}", "empty", f"smaller than a patch: {i} x {i}", 0, 0) for i in range(2)]
    lines, faults = told(dataset(tmp_path, slides))
    assert "  empty     3 no tissue found; 2 smaller than a patch" in lines
    assert faults == ()


def test_what_is_left_out_is_told(tmp_path):
    counts = {"left_out_other_view": 12, "left_out_clutter": 3, "left_out_archive": 0}
    lines, _ = told(dataset(tmp_path, [("a", "done", None, 9, 9)], counts=counts))
    assert "  left out  3 clutter, 12 other view" in lines


def test_halved_batches_are_told(tmp_path):
    counters = {"blocks_by_xla": 1200, "blocks_in_halved_batches_of_32": 1150}
    layout = dataset(tmp_path, [("a", "done", None, 9, 9)])
    lines, faults = told(layout, finished=Finished(1.0, counters))
    start = lines.index("  model     float32, compiled by xla")
    assert lines[start + 1] == (
        "            1,150 blocks in batches halved to 32 for lack of memory (--batch_size)"
    )
    assert faults == ()


@pytest.mark.parametrize(
    ("slides", "rows", "fault"),
    [
        ([("a", "failed", "x", 0, 0), ("b", "done", None, 5, 5)], 5,
         "50% of the slides failed, more than --max_failed 0.1"),
        ([("a", "empty", "no tissue found", 0, 0)], 0,
         "there is no embedding: of the slides, 1 empty"),
    ],
)  # fmt: skip
def test_what_is_no_success_comes_first(tmp_path, slides, rows, fault):
    lines, faults = told(dataset(tmp_path, slides, rows=rows))
    assert faults == (fault,)
    assert lines[0] == f"  FAILED    {fault}".rstrip()


def test_a_range_that_is_assumed_is_told(tmp_path):
    model = {"range_source": "assumed", "input_range": "0..1"}
    lines, _ = told(dataset(tmp_path, [("a", "done", None, 9, 9)], model=model))
    assert any("input range 0..1 is assumed" in line for line in lines)


def test_read_summary_errors(tmp_path):
    with pytest.raises(RuntimeError, match=r"dataset\.json was not written"):
        told(Layout(str(tmp_path), "p1", "f1"))
