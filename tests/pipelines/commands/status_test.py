import json
import os
import time
import types

import pytest

from beamscope.pipelines.commands import status as module
from beamscope.pipelines.commands.status import read_status
from beamscope.pipelines.main import main
from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.cluster_job import ClusterJob
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.plans import write_plan_file
from beamscope.transforms.output.run_record import RunRecord, note_cluster_job, write_run_record
from tests.output.samples import block_of

PLAN = Fingerprint({"job": "slides"})
RECORD = RunRecord("slides", 3, "slides", PLAN, Fingerprint({"plan": PLAN.digest}))
COUNTS = {
    "rows": 8,
    "slides": {"done": 1, "partial": 1, "failed": 1, "empty": 2},
    "problems": {"missing_mpp": 1, "unreadable_region": 4},
}


@pytest.fixture
def output(tmp_path):
    """Two of three slides are planned, one of them failed; two blocks of four patches are done."""
    import pyarrow as pa

    root = str(tmp_path)
    write_run_record(root, RECORD)
    layout = RECORD.layout(root)
    for name, patches, problem in (("a", 16, None), ("b", 0, {"kind": "missing_mpp"})):
        write_plan_file(layout.plan(name), {"patches": patches, "problem": problem}, pa.table({}))
        os.utime(layout.plan(name), (900, 900))
    for index, moment in enumerate((1000, 1002)):
        os.utime(write_part(layout, block_of("a", index, 4)).path, (moment, moment))
    return tmp_path


def complete(output, fingerprint=RECORD.embedding.digest):
    description = {"fingerprint": fingerprint, "counts": COUNTS, "shards": []}
    (output / "dataset.json").write_text(json.dumps(description))


def test_a_job_under_way(output):
    lines = read_status(str(output)).text(now=1062).splitlines()
    assert lines[1:3] == [
        "  planned   2 of 3 slides, 1 failed",
        "  done      8 of 16 patches (50.0%)",
    ]
    assert lines[3].startswith("  written   last 01:00 ago, 1970-01-01 ")
    assert lines[4:] == [
        "  rate      2.0 patches a second, 00:04 left of what is planned",
        "  dataset   not complete yet",
    ]


def test_failures_are_never_shown_as_success(output):
    complete(output)
    text = read_status(str(output)).text(now=2000)
    assert "  dataset   complete: 8 rows" in text
    assert "  slides    1 done, 1 partial, 1 failed, 2 empty" in text
    assert "  problems  5" in text


def test_a_dataset_of_other_settings_is_not_this_one(output):
    complete(output, "other")
    assert read_status(str(output)).counts is None


def test_json_is_for_programs(output, capsys):
    complete(output)
    assert main(["status", str(output), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["complete"] is True
    assert found["counts"] == COUNTS
    assert (found["rows_done"], found["rows_planned"], found["items_failed"]) == (8, 16, 1)
    assert found["seconds_left"] == 4.0


def test_watching_ends_when_the_dataset_is_complete(output, capsys, monkeypatch):
    waited = []

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 2:
            complete(output)

    # For this module alone: threads of other tests sleep too.
    clock = types.SimpleNamespace(sleep=wait, time=time.time)
    monkeypatch.setattr(module, "time", clock)
    assert main(["status", str(output), "--watch", "5"]) == 0
    assert waited == [5, 5]
    said = capsys.readouterr().out
    assert said.count("not complete yet") == 2
    assert said.count("complete: 8 rows") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{none}"], "is not the output of a beamscope job"),
        (["{output}", "--watch", "0"], "--watch must be between 0.1 and 86400, got 0"),
    ],
)
def test_status_errors(output, capsys, arguments, message):
    places = {"none": str(output / "none"), "output": str(output)}
    assert main(["status", *(argument.format(**places) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_job_that_nobody_knows_errors(tmp_path, capsys):
    write_run_record(str(tmp_path), RunRecord("knitting", 1, "scarves", PLAN, None))
    assert main(["status", str(tmp_path)]) == 2
    assert "unknown job 'knitting'; the known jobs are slides, xrays" in capsys.readouterr().err


def test_the_job_on_a_cluster_is_named(output, capsys):
    note_cluster_job(str(output), ClusterJob("Dataflow", "2026-11-26_1", "https://example.org/j"))
    assert "  submitted Dataflow 2026-11-26_1  https://example.org/j" in read_status(
        str(output)
    ).text(now=2000)
    assert main(["status", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cluster_job"]["id"] == "2026-11-26_1"
