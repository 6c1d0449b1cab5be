"""`verify_output` in an object store; tests/faults/damage_test.py has local outputs of jobs."""

from collections.abc import Iterator

import pytest

from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.dataset import ShardRef, finish_dataset
from beamscope.transforms.output.outcome import join_outcomes
from beamscope.transforms.output.run_record import RunRecord, write_run_record
from beamscope.transforms.output.shards import write_shard
from beamscope.transforms.output.verify import verify_output
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.output.samples import FEATURES, ROWS, item_on_disk, spec_in
from tests.s3 import s3_server


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with (
        gcs_emulator(tmp_path_factory.mktemp("gcs")) as gcs,
        s3_server(tmp_path_factory.mktemp("s3")) as s3,
    ):
        yield {"gs": gcs, "s3": s3}


@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_what_was_altered_in_a_store_is_named(stores: dict[str, str], scheme: str) -> None:
    root = f"{stores[scheme]}/dataset"
    spec = spec_in(root)
    plan = Fingerprint({"mpp": 0.5})
    write_run_record(root, RunRecord("slides", 1, "slides", plan, Fingerprint({"plan": "x"})))
    item = item_on_disk(spec.layout, "a", 300, 4)
    rows, sums = write_shard(
        spec.layout, 0, 1, item.outcome.parts, ROWS, FEATURES, spec.shard_format, {}
    )
    outcomes = [join_outcomes([item.outcome])]
    finish_dataset(spec, outcomes, {"a": 0}, [ShardRef(0, rows, tuple(sums))])
    found = verify_output(root)
    assert (found.complete, found.dataset_files, found.parts, found.damaged) == (True, 3, 2, ())

    altered = [item.outcome.parts[0], spec.layout.shard(0, 1, "parquet")]
    for path in altered:
        content = bytearray(files.read_bytes(path))
        content[200:400] = bytes(200)
        files.write_bytes(path, bytes(content))
    files.delete([spec.layout.problems])
    found = verify_output(root)
    assert {(error.path, error.reason) for error in found.damaged} == {
        *((path, "its content does not have its checksum") for path in altered),
        (spec.layout.problems, "it is missing"),
    }
