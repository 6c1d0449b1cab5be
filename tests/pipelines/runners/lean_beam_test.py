"""Beam without the packages that no job on this machine needs, in processes of their own."""

import json
import subprocess
import sys

import pytest

HIDDEN = ("bson", "google.cloud.bigquery", "google.cloud.pubsub", "pandas", "pymongo")
LEAN = """
import importlib, json, logging, sys
from beamscope.pipelines.runners.lean_beam import import_lean_beam

import_lean_beam()
import apache_beam as beam
import beamscope.pipelines.jobs.run_job
import beamscope.pipelines.jobs.slides
import numpy as np
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from beamscope.transforms.output.schema import to_record_batch

with beam.Pipeline(FnApiRunner()) as pipeline:
    pairs = pipeline | beam.Create([("a", 1), ("a", 2), ("b", 3)])
    _ = pairs | beam.CombinePerKey(sum) | beam.Map(lambda pair: print(json.dumps(pair)))
table = pa.table({"a": [1, 2]})
kind = pa.list_(pa.float32(), 3)
schema = pa.schema([("a", pa.int64()), ("embedding", kind)])
block = to_record_batch(table.to_batches()[0], np.eye(2, 3, dtype=np.float32), schema)
print(json.dumps({
    "imported": [name for name in (*sys.argv[1:], "pydicom") if name in sys.modules],
    "block": block.column(1).to_pylist(),
    "level": logging.getLogger("apache_beam.io.mongodbio").level,
    "later": [importlib.import_module(name).__name__ for name in sys.argv[1:]],
    "sum": int(table.to_pandas()["a"].sum()),
}))
"""
# What Beam holds for good, because it looks for them only once.
HELD = """
import json
from beamscope.pipelines.runners.lean_beam import import_lean_beam

import_lean_beam()
from apache_beam.io.aws.clients.s3 import boto3_client
from apache_beam.runners.dataflow import dataflow_runner

print(json.dumps([dataflow_runner.dataflow_api.__name__, boto3_client.boto3.__name__]))
"""
AS_EVER = """
import apache_beam
import json, sys
from beamscope.pipelines.runners.lean_beam import import_lean_beam

import_lean_beam()
print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))
"""


def lines(program: str) -> tuple[list[object], str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *HIDDEN], capture_output=True, text=True, timeout=240
    )
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.fixture(scope="module")
def lean():
    return lines(LEAN)


def test_what_no_job_needs_stays_out(lean):
    # By itself Beam imports every one of them, and they stay then.
    assert lines(AS_EVER)[0] == [list(HIDDEN)]
    assert lean[0][-1]["imported"] == []
    assert lean[0][-1]["block"] == [[1, 0, 0], [0, 1, 0]]


def test_the_clients_of_dataflow_and_s3_are_there():
    assert lines(HELD)[0] == [["google.cloud.dataflow", "boto3"]]


def test_whoever_needs_it_later_imports_it(lean):
    assert lean[0][-1]["later"] == list(HIDDEN)
    assert lean[0][-1]["sum"] == 3


def test_a_pipeline_runs(lean):
    assert sorted(lean[0][:-1]) == [["a", 3], ["b", 3]]


def test_nothing_is_said_and_the_log_is_as_before(lean):
    assert lean[1] == ""
    assert lean[0][-1]["level"] == 0
