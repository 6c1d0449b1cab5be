import cv2
import numpy as np
import pyarrow as pa
import pytest

from beamscope.transforms.blocks import EmbeddingBlock
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.outcome import TABLE_SCHEMA, slide_outcome
from beamscope.transforms.slides.planning.plan import EmptyPlan, FailedPlan
from beamscope.transforms.slides.planning.plan_file import write_plan
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.requests import SlideRequest
from tests.slides.plans import opened, ready

REQUEST = SlideRequest("s", "s.svs")


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path), "p1", "f")


def planned(layout, patches=5, **changes):
    plan = ready(patches, **changes)
    write_plan(layout, REQUEST, plan)
    return plan


def parts(layout, plan, failed=()):
    refs = []
    for block in plan.blocks():
        keep = [i for i, x in enumerate(block.x_level0) if x not in failed]
        problems = tuple(
            Problem("s", "s.svs", "read", "unreadable_region", f"at {x}", int(x), 0)
            for x in block.x_level0
            if x in failed
        )
        rows = block.rows().take(pa.array(keep, pa.int32()))
        embeddings = np.zeros((len(keep), 3), np.float32)
        embedded = EmbeddingBlock(block.key, embeddings, rows, len(block), problems)
        refs.append(write_part(layout, embedded))
    return refs


def only_row(outcome):
    (row,) = outcome.table.to_pylist()
    return row


@pytest.mark.parametrize(
    ("failed", "status", "reason"),
    [
        ((), "done", None),
        ((40,), "partial", "1 of 5 patches; first unreadable_region: at 40"),
        ((0, 20, 40, 60, 80), "failed", "not one of 5 patches; first unreadable_region: at 0"),
    ],
)
def test_status_of_a_planned_slide(layout, failed, status, reason):
    plan = planned(layout)
    refs = parts(layout, plan, failed)
    outcome = slide_outcome(layout, "s", reversed(refs))
    row = only_row(outcome)
    assert (row["status"], row["reason"]) == (status, reason)
    assert row["patches_planned"] == row["patches_embedded"] + row["patches_failed"] == 5
    assert row["patches_failed"] == len(failed) == len(outcome.problems)
    assert [p.x_level0 for p in outcome.problems] == list(failed)
    assert outcome.rows == 5 - len(failed)
    # In the order of blocks, without parts that hold nothing.
    assert list(outcome.parts) == [ref.path for ref in refs if ref.embedded]
    assert set(row) | {"shard"} == set(TABLE_SCHEMA.names)


def test_what_failed_is_marked_on_the_picture(layout):
    plan = planned(layout)
    slide_outcome(layout, "s", parts(layout, plan, failed=(40,)))
    marked = cv2.imread(layout.picture("s")).astype(int)
    red = marked[..., 2] - marked[..., 1] > 60
    rows, columns = np.nonzero(red)
    # The patch at 40 lies at 16 to 24 px of the picture.
    assert 14 <= columns.min() < columns.max() <= 26
    assert rows.max() <= 10


@pytest.mark.parametrize(
    ("downscale", "reader"), [("area", "native"), ("decoder", "native_scaled")]
)
def test_the_reader_of_a_slide(layout, downscale, reader):
    read = ReadPlan(0, 1.0, 20, 10, 0.5, 0.25, downscale)
    plan = planned(layout, read=read)
    assert only_row(slide_outcome(layout, "s", parts(layout, plan)))["reader"] == reader


def test_status_of_an_empty_slide(layout):
    write_plan(layout, REQUEST, EmptyPlan(**opened(), reason="no tissue found"))
    outcome = slide_outcome(layout, "s", [])
    row = only_row(outcome)
    assert (row["status"], row["reason"]) == ("empty", "no tissue found")
    assert (row["vendor"], row["mpp_x"], row["level"]) == ("aperio", 0.25, 0)
    assert row["patches_planned"] == row["patches_embedded"] == row["patches_failed"] == 0
    assert outcome.problems == ()


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, (None, None, None)),
        ({"facts": opened()["facts"]}, ("aperio", 100, None)),
        ({"facts": opened()["facts"], "mpp": opened()["mpp"]}, ("aperio", 100, 0.25)),
    ],
)
def test_status_of_a_failed_slide(layout, known, expected):
    problem = Problem("s", "s.svs", "plan", "missing_mpp", "says nothing")
    plan = FailedPlan(slide_id="s", uri="s.svs", problem=problem, **known)
    write_plan(layout, REQUEST, plan)
    outcome = slide_outcome(layout, "s", [])
    row = only_row(outcome)
    assert (row["status"], row["reason"]) == ("failed", "missing_mpp: says nothing")
    assert (row["vendor"], row["width_level0"], row["mpp_x"]) == expected
    assert (row["level"], row["reader"], row["patches_planned"]) == (None, None, 0)
    assert outcome.problems == (problem,)


def test_slide_outcome_errors(layout):
    refs = parts(layout, planned(layout))
    for wrong in (refs[:-1], [*refs, refs[0]], []):
        with pytest.raises(ValueError, match="are not the blocks"):
            slide_outcome(layout, "s", wrong)
