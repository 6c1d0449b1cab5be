"""The jobs that must give the same on every runner, each with its own small input."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beamscope.transforms.output.schema import EMBEDDING
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.sample import write_sample_archive
from tests.shared_data import shared

# What identifies a line in whichever of a dataset's files.
KEYS = ("slide_id", "image_id", "item_id", "x_level0", "y_level0", "member", "kind")
ROOT = Path(__file__).resolve().parents[2]


def _slides(directory: Path) -> list[str]:
    for seed, (width, height) in enumerate([(1600, 1200), (1200, 900)]):
        write_sample_slide(
            directory / f"sample-{seed}.svs",
            SampleSlide(width=width, height=height, mpp=0.5, levels=2, seed=seed),
        )
    (directory / "broken.svs").write_text("no slide")
    return ["--input", str(directory), "--block_size", "4"]


@dataclasses.dataclass(frozen=True)
class Job:
    """One command that embeds.

    Attributes:
      command: of `beamscope`.
      make_input: writes input into a directory, one broken item in it, and gives the flags that
        say what is embedded and how.
      table: of the output, with a line for each item.
      embedded: how many rows of the dataset that table speaks of, its own sums checked.
    """

    command: str
    make_input: Callable[[Path], list[str]]
    table: str
    embedded: Callable[[pa.Table], int]


def _films(directory: Path) -> list[str]:
    for kind in ("zip", "tar.gz"):
        write_sample_archive(directory / f"films.{kind}", kind, 24, seed=len(kind))
    (directory / "broken.png").write_text("no film")
    return ["--input", str(directory), "--block_size", "8"]


def _patches(table: pa.Table) -> int:
    planned, embedded, failed = (
        sum(table[f"patches_{name}"].to_pylist()) for name in ("planned", "embedded", "failed")
    )
    assert planned == embedded + failed
    return embedded


def _done(table: pa.Table) -> int:
    return table["status"].to_pylist().count("done")


JOBS = (Job("slides", _slides, "slides", _patches), Job("xrays", _films, "images", _done))


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A job and its input, made once for all runners."""

    job: Job
    flags: Sequence[str]

    def command(self, output: Path, *runner_flags: str) -> list[str]:
        """The command line of the job on a runner."""
        model = ("--model", str(shared("models/squeezenet11-imagenet")))
        job = (self.job.command, *self.flags, *model, "--max_failed=1", "--output", str(output))
        return [sys.executable, "-m", "beamscope", *job, *runner_flags]

    def start(self, output: Path, *runner_flags: str) -> subprocess.Popen[str]:
        """Starts the job in a process of its own."""
        return subprocess.Popen(
            self.command(output, *runner_flags),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, output: Path, *runner_flags: str) -> Dataset:
        """Runs the job to its end and reads what it wrote."""
        return self.finish(self.start(output, *runner_flags), output)

    def finish(self, process: subprocess.Popen[str], output: Path) -> Dataset:
        """Waits for a job that was started, and reads what it wrote."""
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            process.kill()
        assert process.returncode == 0, said[-4000:]
        return read_dataset(output, self.job)


def wait_for_parts(
    output: Path, process: subprocess.Popen[str], count: int, seconds: float = 300
) -> set[Path]:
    """Waits until a running job has finished so many blocks, and gives their parts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the job ended before it could be disturbed"
        parts = set(output.glob(".beamscope/*/parts/*/*/*.arrow"))
        if len(parts) >= count:
            return parts
        time.sleep(0.1)
    raise TimeoutError(f"{output}: fewer than {count} parts")


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """What a job wrote, in an order that does not depend on the runner.

    Attributes:
      rows: every row of the shards but its embedding.
      embeddings: float32 ``[n, features]``, in the order of `rows`.
      table: a line for each item, without the shard that it went to.
      problems: everything that went wrong.
    """

    rows: pa.Table
    embeddings: np.ndarray
    table: pa.Table
    problems: pa.Table


def read_dataset(output: Path, job: Job) -> Dataset:
    """Reads a complete dataset, and checks that nothing is in it twice and nothing is lost."""
    assert (output / "dataset.json").exists()
    shards = sorted(output.glob("embeddings/*.parquet"))
    everything = pa.concat_tables([pq.read_table(shard) for shard in shards]).combine_chunks()
    rows = everything.drop_columns([EMBEDDING])
    order = _order(rows)
    embeddings = np.stack(everything[EMBEDDING].to_numpy(zero_copy_only=False))

    keys = [name for name in KEYS if name in rows.column_names]
    assert rows.group_by(keys).aggregate([]).num_rows == rows.num_rows
    table = pq.read_table(output / f"{job.table}.parquet")
    assert job.embedded(table) == rows.num_rows
    table = table.drop_columns(["shard"])
    problems = pq.read_table(output / "problems.parquet")
    return Dataset(
        rows.take(order),
        embeddings[order.to_numpy()],
        table.take(_order(table)),
        problems.take(_order(problems)),
    )


def assert_same(actual: Dataset, expected: Dataset) -> None:
    """The same rows, the same table, the same problems, and embeddings equal to 1e-5."""
    for name in ("rows", "table", "problems"):
        assert getattr(actual, name).to_pylist() == getattr(expected, name).to_pylist(), name
    np.testing.assert_allclose(actual.embeddings, expected.embeddings, rtol=1e-5, atol=1e-5)


def _order(table: pa.Table) -> pa.Array:
    keys = [name for name in KEYS if name in table.column_names]
    return pc.sort_indices(table, sort_keys=[(name, "ascending") for name in keys])
