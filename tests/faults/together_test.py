"""Two starts of a job on one output."""

import signal
import time
from pathlib import Path

import pytest

from beamscope.transforms.output.leases.held import held
from tests.faults.job_test import embedded, make_folders, run, start, times_read

pytestmark = pytest.mark.slow


def wait_until_read(root: Path, block: str, process) -> None:
    deadline = time.monotonic() + 100
    while not (root / "in" / "read.log").exists() or times_read(root, block) < 1:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_second_start_says_who_is_writing_and_the_first_goes_on(tmp_path):
    make_folders(tmp_path, {"a": ["0", "1", "2"], "b": ["hang"]})
    first = start(tmp_path)
    try:
        wait_until_read(tmp_path, "b[0]", first)
        parts = sorted(tmp_path.glob("out/.beamscope/*/parts/a/*/*.arrow"))
        for more in ((), ("--overwrite",), ("--block_size", "3", "--overwrite")):
            status, said = run(tmp_path, *more)
            assert status == 2, said
            assert said.count("\n") == 1, said
            assert "is writing it since" in said
        assert parts
        assert sorted(tmp_path.glob("out/.beamscope/*/parts/a/*/*.arrow")) == parts
    finally:
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    # It was released: nothing is waited for.
    with held(str(tmp_path / "out"), "another run"):
        pass


def test_two_starts_at_the_same_time_give_one_dataset(tmp_path):
    make_folders(tmp_path, {"a": [str(n) for n in range(12)], "b": ["20"]})
    both = [start(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=200)[0] for process in both]
    statuses = sorted(process.returncode for process in both)
    # The slower one is refused, or finds that all is done.
    assert statuses in ([0, 2], [0, 0]), said
    assert len(embedded(tmp_path)) == 13
    blocks = (tmp_path / "in" / "read.log").read_text().split()
    assert len(blocks) == len(set(blocks)) == 7
