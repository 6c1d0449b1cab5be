"""What a job of many slides asks a store does not grow with the slides that are done."""

import collections
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.jobs import run_job
from beamscope.transforms.storage import files
from benchmarks.manifest import job_command
from benchmarks.requests import make_remote_run, traffic_of
from tests.gcs import gcs_emulator

PARTS = 4
COUNTS = (20, 60)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each command asked for, by number of slides; and the command and root of the fewest."""
    logging.getLogger("beamscope").setLevel(logging.WARNING)
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        found = {}
        for count in COUNTS:
            folder = tmp_path_factory.mktemp(f"n{count}")
            root = make_remote_run(str(folder), f"{bucket}/n{count}", count)
            job = job_command(str(folder), "all.csv", root)
            found[count] = {
                "first": traffic_of([*job, "--only", "embed"]),
                "again": traffic_of([*job, "--only", "embed"]),
                "status": traffic_of(["status", root]),
                "assemble": traffic_of([*job, "--only", "assemble"]),
            }
            found[count]["command"] = job, root
        yield found


def asked(traffic):
    """The requests beside listings by kind, without those that come with time: lease and log."""
    return collections.Counter(
        (kind, "/".join(part for part in name.split("/")[2:] if part.startswith(".") or part in (
            "plans", "parts", "index", "found", "slides")))
        for kind, name in traffic.asked
        # The client itself asks for the bucket, now and then.
        if kind not in ("list", "other") and "/lease/" not in name and "/logs/" not in name
    )  # fmt: skip


def of_items(traffic):
    """The requests for single plans, blocks and slides."""
    return [
        (kind, name)
        for kind, name in traffic.asked
        if kind != "list" and any(f"/{what}/" in name for what in ("plans", "parts", "slides"))
    ]


@pytest.mark.parametrize("command", ["again", "status"])
def test_what_is_done_costs_no_request_each(outputs, command):
    few, many = (outputs[count][command] for count in COUNTS)
    assert of_items(few) == of_items(many) == []
    assert asked(few) == asked(many)


def test_the_first_start_reads_each_plan_once(outputs):
    for count in COUNTS:
        # The planner and the progress of the first of all starts know the first slide already.
        plans = [name for kind, name in of_items(outputs[count]["first"]) if "/plans/" in name]
        assert len(plans) == len(set(plans)) <= count
        assert len(plans) >= count - 1


def test_the_dataset_is_assembled_by_one_request_for_each_block(outputs):
    for count in COUNTS:
        found = of_items(outputs[count]["assemble"])
        assert len(found) == len(set(found)) == PARTS * count
        assert all(kind == "whole" and "/parts/" in name for kind, name in found)


def test_the_dataset_is_the_same_without_what_was_found(outputs, monkeypatch):
    job, root = outputs[COUNTS[0]]["command"]
    before = tables(root)
    assert [len(table) for table in before] == [COUNTS[0] * 16, COUNTS[0], 0]
    files.delete([f"{root}/dataset.json"])
    monkeypatch.setattr(run_job, "find_before", lambda *_: None)
    traffic_of(job)
    assert all(
        one.equals(other, check_metadata=True)
        for one, other in zip(before, tables(root), strict=True)
    )


def tables(root):
    names = ("embeddings/embeddings-00000-of-00001", "slides", "problems")
    return [
        pq.read_table(pa.BufferReader(files.read_bytes(f"{root}/{name}.parquet"))) for name in names
    ]
