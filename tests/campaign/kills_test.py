"""Jobs that are killed at random moments: the sample of `make test`, and the whole campaign.

`make test-faults` runs the whole. Seeds are printed; `SEED=7` begins with another one.
"""

import os
import tempfile
from pathlib import Path

import pytest

from beamscope.transforms.storage import files
from tests.campaign.kills import dataset, kill_and_resume, left_over, prepare
from tests.faults.job_test import start
from tests.gcs import gcs_emulator

SEED = int(os.environ.get("BEAMSCOPE_SEED") or "1")
FORMATS = {"parquet": ["parquet"], "tfrecord": ["tfrecord", "tfrecord.gz"]}


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("TMPDIR", "HOSTILE_SLOW"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    prepare(tmp_path)
    yield tmp_path
    tempfile.tempdir = None


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


def campaign(root: Path, outputs: list[str], formats: list[str], seed: int) -> int:
    """Kill each output up to three times, and return the number of kills."""
    flags = ["--format", *formats, "--block_size", "2", "--num_shards", "2"]
    process = start(root, "--output", str(root / "undisturbed"), *flags)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    expected = dataset(str(root / "undisturbed"))
    (root / "in" / "read.log").unlink()
    total = 0
    for number, output in enumerate(outputs):
        kills = 1 + (seed + number) % 3
        result = kill_and_resume(root, output, seed + number, kills=kills, flags=flags)
        print(  # noqa: T201
            f"seed {seed + number}: {output}: killed {result.kills} times at {result.parts} parts"
        )
        found = dataset(output)
        assert found.keys() == expected.keys(), seed + number
        assert [name for name in found if found[name] != expected[name]] == [], seed + number
        assert left_over(str(root)) == [], seed + number
        if not files.is_local(output):
            tries = [one.path for one in files.list_files(output) if "/tries/" in one.path]
            assert tries == [], seed + number
        (root / "in" / "read.log").unlink(missing_ok=True)
        total += result.kills
    return total


@pytest.mark.slow
def test_a_few_kills_on_disk(root):
    assert campaign(root, [str(root / "out-0"), str(root / "out-1")], ["parquet", "tfrecord"], SEED)


@pytest.mark.slow
@pytest.mark.server
def test_a_few_kills_on_gcs(root, bucket):
    assert campaign(root, [f"{bucket}/few-0"], ["tfrecord.gz"], SEED + 1)


@pytest.mark.campaign
@pytest.mark.parametrize("formats", FORMATS)
@pytest.mark.parametrize("place", ["disk", "gcs"])
def test_many_kills(root, bucket, place, formats):
    where = str(root) if place == "disk" else f"{bucket}/{formats}"
    outputs = [f"{where}/out-{number}" for number in range(8)]
    kills = campaign(root, outputs, FORMATS[formats], 100 + SEED)
    print(f"{place}, {formats}: {kills} kills of {len(outputs)} outputs")  # noqa: T201
    assert kills >= 12
