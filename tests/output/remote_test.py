"""A whole dataset in an object store."""

import json
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as BeamTestPipeline

from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.claim import claim_output
from beamscope.transforms.output.parts import (
    check_parts,
    finished_parts,
    list_parts,
    read_part,
    write_part,
)
from beamscope.transforms.output.progress import PlanGlance, Progress, ProgressReader
from beamscope.transforms.output.ptransforms.assemble import AssembleDataset
from beamscope.transforms.output.run_record import RunRecord, read_run_record
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.output.samples import block_of, item_on_disk, paths, spec_in
from tests.traffic import counted_traffic


def _record(mpp: float) -> RunRecord:
    plan = Fingerprint({"mpp": mpp})
    return RunRecord("slides", 2, "slides", plan, Fingerprint({"plan": plan.digest}))


RUN, OTHER = _record(0.5), _record(0.25)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


def _names(root: str) -> list[str]:
    return [file.path.removeprefix(f"{root}/") for file in files.list_files(root)]


def test_a_run_is_claimed_continued_refused_and_begun_anew(bucket: str) -> None:
    root = f"{bucket}/runs [1]"
    files.write_bytes(f"{root}/notes.txt", b"theirs")
    claim_output(root, RUN)
    layout = RUN.layout(root)
    for path in (layout.description, layout.shard(0, 1, "parquet"), layout.picture("a")):
        files.write_bytes(path, b"ours")
    ref = write_part(layout, block_of("a", 0, 4))
    assert paths(list_parts(layout)) == {ref.path: 4}
    progress = ProgressReader(layout, 2, lambda path: PlanGlance(0))
    found = progress.read()
    assert found == Progress(2, 0, 0, 4, 0, found.last_write)
    assert found.last_write == max(file.modified for file in files.list_files(root))

    claim_output(root, RUN)
    assert paths(list_parts(layout)) == {ref.path: 4}
    with pytest.raises(InputError, match=r"mpp was 0\.5 and is now 0\.25"):
        claim_output(root, OTHER)
    claim_output(root, OTHER, overwrite=True)
    assert _names(root) == [".beamscope/run.json", "notes.txt"]
    assert read_run_record(root) == OTHER


def test_references_to_many_parts_come_in_order(bucket: str) -> None:
    layout = RUN.layout(f"{bucket}/many")
    refs = [write_part(layout, block_of("slide", i, 4, i % 3)) for i in range(40)][::-1]
    assert check_parts([files.stat(ref.path) for ref in refs]) == refs


def test_parts_are_found_by_their_names_alone(bucket: str) -> None:
    layout = RUN.layout(f"{bucket}/named")
    refs = [write_part(layout, block_of("slide", i, 4, i % 3)) for i in range(5)]
    with counted_traffic() as traffic:
        assert finished_parts(layout, "slide", [4] * 5) == refs
    assert traffic.requests == {"list": 1}
    with counted_traffic() as traffic:
        assert sum(batch.num_rows for batch in read_part(refs[1].path)) == 3
    assert traffic.requests == {"whole": 1}


def test_a_dataset_is_assembled(bucket: str) -> None:
    root = f"{bucket}/dataset"
    spec = spec_in(root, ShardFormat(("parquet", "tfrecord"), 2))
    files.write_bytes(spec.layout.shard(0, 1, "parquet"), b"stale")
    files.write_bytes(f"{root}/embeddings-00000-of-00002.parquet", b"of version 0.2")
    items = [item_on_disk(spec.layout, "b", 4), item_on_disk(spec.layout, "a", 3, 2, failed=1)]
    with BeamTestPipeline(
        runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    ) as pipeline:
        outcomes = pipeline | beam.Create([item.outcome for item in items])
        _ = outcomes | AssembleDataset(spec)
    assert [name for name in _names(root) if not name.startswith(".beamscope")] == [
        "dataset.json",
        "embeddings-tfrecord/embeddings-00000-of-00002.tfrecord",
        "embeddings-tfrecord/embeddings-00001-of-00002.tfrecord",
        "embeddings/embeddings-00000-of-00002.parquet",
        "embeddings/embeddings-00001-of-00002.parquet",
        "parsing_spec.json",
        "problems.parquet",
        "slides.parquet",
    ]
    tables = [
        pq.read_table(pa.BufferReader(files.read_bytes(spec.layout.shard(index, 2, "parquet"))))
        for index in range(2)
    ]
    assert [row["slide_id"] for table in tables for row in table.to_pylist()] == list("aaabbbb")
    assert json.loads(files.read_bytes(spec.layout.description))["counts"]["rows"] == 7


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.usefixtures("bucket")
def test_claim_in_a_bucket_that_is_not_there_errors(overwrite: bool) -> None:
    with pytest.raises(
        InputError, match=r"--output gs://no-such-bucket/o: cannot be .*no such"
    ) as e:
        claim_output("gs://no-such-bucket/o", RUN, overwrite=overwrite)
    assert e.value.kind == "unwritable_output"
    assert "\n" not in e.value.message
