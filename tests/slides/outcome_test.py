import numpy as np
import pyarrow as pa
import pytest

from beamscope.transforms.blocks import EmbeddingBlock
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.problems import Problem
from beamscope.transforms.slides.outcome import TABLE_SCHEMA, slide_outcome
from beamscope.transforms.slides.planning.plan import SlidePlan
from beamscope.transforms.slides.planning.plan_file import write_plan
from beamscope.transforms.slides.planning.resolution import ReadPlan, SlideMpp
from beamscope.transforms.slides.requests import SlideRequest

REQUEST = SlideRequest("s", "s.svs")


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path), "p1", "f")


def planned(layout, patches=5, **changes):
    plan = SlidePlan(
        "s",
        "s.svs",
        vendor="aperio",
        width_level0=100,
        height_level0=100,
        mpp=SlideMpp(0.25, 0.25, "slide"),
        read=ReadPlan(0, 1.0, 20, 10, 0.5, 0.25),
        reader="openslide",
        x_level0=np.arange(patches, dtype=np.int32) * 20,
        y_level0=np.zeros(patches, np.int32),
        tissue=np.ones(patches, np.float32),
        block_size=2,
        **changes,
    )
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


def test_status_of_an_empty_slide(layout):
    planned(layout, patches=0, empty_reason="no tissue found")
    outcome = slide_outcome(layout, "s", [])
    row = only_row(outcome)
    assert (row["status"], row["reason"]) == ("empty", "no tissue found")
    assert outcome.problems == ()


def test_status_of_a_failed_slide(layout):
    problem = Problem("s", "s.svs", "plan", "missing_mpp", "says nothing")
    write_plan(layout, REQUEST, SlidePlan("s", "s.svs", problem=problem))
    outcome = slide_outcome(layout, "s", [])
    assert only_row(outcome)["status"] == "failed"
    assert only_row(outcome)["reason"] == "missing_mpp: says nothing"
    assert outcome.problems == (problem,)


def test_slide_outcome_errors(layout):
    refs = parts(layout, planned(layout))
    for wrong in (refs[:-1], [*refs, refs[0]], []):
        with pytest.raises(ValueError, match="are not the blocks"):
            slide_outcome(layout, "s", wrong)
