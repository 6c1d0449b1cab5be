"""Whole jobs with items that raise, crash or hang: each costs itself, everything else is done."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.main import main
from beamscope.transforms.inference.backends.registry import BACKENDS
from tests.faults import hostile
from tests.runners.fetched import fetched

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def registered() -> Iterator[None]:
    """For jobs that run in the process of the tests."""
    JOBS.register("hostile", hostile.JOB)
    BACKENDS.register("brightness", hostile.BRIGHTNESS)
    yield
    JOBS.unregister("hostile")
    BACKENDS.unregister("brightness")


def make_folders(root: Path, folders: dict[str, Sequence[str]], shade: int = 10) -> None:
    for folder, names in folders.items():
        (root / "in" / folder).mkdir(parents=True)
        for name in names:
            grey = int(name) if name.isdecimal() else shade
            Image.new("RGB", (8, 8), (grey,) * 3).save(root / "in" / folder / f"{name}.png")
    (root / "model.brightness").write_text("a model")


def command(root: Path, *more: str) -> list[str]:
    inputs = [str(path) for path in sorted((root / "in").iterdir()) if path.is_dir()]
    return ["hostile", "--input", *inputs, "--model", str(root / "model.brightness"),
            "--output", str(root / "out"), "--compile", "none", *more]  # fmt: skip


def start(
    root: Path,
    *more: str,
    arguments: Sequence[str] | None = None,
    entry_points: str = hostile.ENTRY_POINTS,
    **options: object,
) -> subprocess.Popen[str]:
    """Start the job, or another command, as a person does.

    Its processes find the job by its entry point.
    """
    described = root / "entry" / "hostile-1.dist-info"
    described.mkdir(parents=True, exist_ok=True)
    (described / "entry_points.txt").write_text(entry_points)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
    path = os.pathsep.join([str(ROOT), str(root / "entry")])
    return subprocess.Popen(
        [sys.executable, "-m", "beamscope", *(arguments or command(root, *more))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def run(root: Path, *more: str, arguments: Sequence[str] | None = None) -> tuple[int, str]:
    process = start(root, *more, arguments=arguments)
    try:
        said, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    return process.returncode, said


def embedded(root: Path) -> set[tuple[str, str]]:
    table = []
    for shard in (root / "out").glob("embeddings/*.parquet"):
        table += pq.read_table(shard).to_pylist()
    found = [(row["folder"], row["name"]) for row in table]
    assert len(set(found)) == len(found)
    return set(found)


def problems(root: Path) -> dict[str, tuple[str, str]]:
    """Stage and kind by the path of what failed, below the input."""
    rows = pq.read_table(root / "out" / "problems.parquet").to_pylist()
    return {
        str(Path(row["uri"]).relative_to(root / "in")): (row["stage"], row["kind"]) for row in rows
    }


def times_read(root: Path, block: str) -> int:
    return (root / "in" / "read.log").read_text().split().count(block)


def left_over(root: Path) -> list[str]:
    tries = root.glob("out/.beamscope/*/tries/**/*")
    return [str(path) for path in tries if path.is_file() and path.name != "lock"]


@pytest.mark.slow
def test_each_bad_block_and_plan_costs_itself(tmp_path):
    good = ["0", "1", "2", "3"]
    make_folders(tmp_path, {
        "a": good, "b": ["0", "1", "abort", "3"], "c": ["hang", "z", "zz", "zzz"],
        "d": ["0", "1", "memory", "z"], "e": ["0", "1", "raise", "z"],
        "plan-abort": good, "plan-raise": good,
    })  # fmt: skip
    status, said = run(tmp_path, "--item_timeout", "2", "--max_failed", "0.5")
    assert status == 0, said
    found = problems(tmp_path)
    assert found == {
        "b/3.png": ("read", "crashes"), "b/abort.png": ("read", "crashes"),
        "c/hang.png": ("read", "crashes"), "c/z.png": ("read", "crashes"),
        "d/memory.png": ("read", "defect"), "d/z.png": ("read", "defect"),
        "e/raise.png": ("read", "defect"), "e/z.png": ("read", "defect"),
    }  # fmt: skip
    folders = {row["folder"]: row["status"] for row in read_table(tmp_path)}
    assert {name for name, status in folders.items() if status == "failed"} == {
        "plan-abort", "plan-raise"
    }  # fmt: skip
    lost = {tuple(path.split("/")) for path in found}
    pictures = {
        (folder.name, picture.name)
        for folder in (tmp_path / "in").iterdir()
        if folder.is_dir() and not folder.name.startswith("plan-")
        for picture in folder.iterdir()
    }
    assert embedded(tmp_path) == pictures - lost
    # What crashes is read twice; what was in hand at the same time, no more often than that.
    assert times_read(tmp_path, "b[1]") == times_read(tmp_path, "c[0]") == 2
    assert all(times_read(tmp_path, f"{folder}[0]") <= 2 for folder in "abde")
    assert said.count("it goes on in a new process") == 6
    assert "killed by SIGABRT" in said
    assert not left_over(tmp_path)
    # The traceback is in the log, without the words that may quote what was read.
    (log,) = tmp_path.glob("out/.beamscope/*/faults/e/*.txt")
    assert "misbehave(name)" in log.read_text()
    assert hostile.PATIENT not in log.read_text() + said


def read_table(root: Path) -> list[dict[str, object]]:
    return pq.read_table(root / "out" / "folders.parquet").to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "what"),
    [("direct", "kill"), ("direct_parallel", "abort"), ("direct_parallel", "kill"),
     ("direct_parallel", "hang"), ("prism", "abort"), ("prism", "kill"), ("prism", "hang")],
)  # fmt: skip
def test_a_crash_on_each_runner(tmp_path, config, what):
    if config == "prism":
        fetched("prism")
    make_folders(tmp_path, {"a": ["0", "1", "2"], "b": ["0", what, "zz"], "c": ["0", "1", "2"]})
    flags = ["--direct_num_workers", "2"] if config == "direct_parallel" else []
    status, said = run(tmp_path, "--runner_config", config, "--item_timeout", "5", *flags)
    assert status == 0, said
    assert problems(tmp_path) == {
        "b/0.png": ("read", "crashes"), f"b/{what}.png": ("read", "crashes")
    }  # fmt: skip
    assert embedded(tmp_path) == {(f, f"{n}.png") for f in "ac" for n in "012"} | {("b", "zz.png")}
    assert not left_over(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_both_processes_and_blames_nothing(tmp_path, number):
    make_folders(tmp_path, {"a": ["0", "1", "hang", "z"]})
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "in" / "read.log").exists() or times_read(tmp_path, "a[1]") < 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (child,) = children(process.pid)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.rstrip().endswith("interrupted; the same command continues from here")
    assert not Path(f"/proc/{child}").exists()
    assert not left_over(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("libraries", [1, 200, 600])
def test_signals_during_the_start_end_with_the_same_line(tmp_path, number, libraries):
    make_folders(tmp_path, {"a": ["0", "hang"]})
    process = start(tmp_path)
    # The child imports Beam and much else; a signal may meet it anywhere there.
    while not (forked := children(process.pid)) or mapped(forked[0]) < libraries:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.rstrip().endswith("interrupted; the same command continues from here")
    assert "Traceback" not in said
    assert said.count("interrupted") == 1
    assert not left_over(tmp_path)


def mapped(process: int) -> int:
    """How many pieces of libraries a process has loaded."""
    try:
        return Path(f"/proc/{process}/maps").read_text().count(".so")
    except OSError:
        return 0


@pytest.mark.slow
def test_a_killed_supervisor_takes_the_job_with_it(tmp_path):
    make_folders(tmp_path, {"a": ["hang", "z"]})
    process = start(tmp_path)
    while not (tmp_path / "in" / "read.log").exists():
        assert process.poll() is None
        time.sleep(0.05)
    (child,) = children(process.pid)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(process: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_what_a_model_fails_on(tmp_path, registered):
    shades = {"error": hostile.RAISES, "few": hostile.TOO_FEW, "nan": hostile.NOT_A_NUMBER}
    make_folders(tmp_path, {"good": ["1", "2", "3"]})
    make_folders(tmp_path, {name: [str(shade), "250"] for name, shade in shades.items()})
    assert main(command(tmp_path, "--max_failed", "1")) == 0
    rows = pq.read_table(tmp_path / "out" / "problems.parquet").to_pylist()
    found = {(row["item_id"], row["stage"], row["kind"]): row["message"] for row in rows}
    assert set(found) == {
        ("error", "embed", "defect"), ("few", "embed", "defect"), ("nan", "embed", "non_finite")
    }  # fmt: skip
    assert "ArithmeticError: these pixels are too much" in found["error", "embed", "defect"]
    assert "answered [1, 3] for 2 images" in found["few", "embed", "defect"]
    # Of NaN only the row is lost, of the other two the block.
    assert embedded(tmp_path) == {("good", f"{n}.png") for n in "123"} | {("nan", "250.png")}


def test_a_defect_in_everything_ends_the_job_with_one_message(tmp_path, registered, capsys):
    names = [f"raise-{number:02}" for number in range(20)]
    make_folders(tmp_path, dict.fromkeys("abcd", names))
    assert main(command(tmp_path)) == 1
    said = capsys.readouterr().err
    assert said.count("so it is not they that are wrong") == 1
    # Of three items at least: 10 blocks of each.
    assert "the first 21 blocks or items that were tried all failed with ValueError at" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "dataset.json").exists()
    # Nothing of it is taken for finished: it will be done when the cause is gone.
    assert not list(tmp_path.glob("out/.beamscope/*/parts/*/*/*.arrow"))
    assert not left_over(tmp_path)


def test_one_bad_item_that_comes_first_ends_nothing(tmp_path, registered):
    bad = [f"raise-{number:02}" for number in range(40)]
    make_folders(tmp_path, {"a": bad, "b": ["0", "1"], "c": ["0", "1"], "d": ["0"]})
    assert main(command(tmp_path, "--max_failed", "1")) == 0
    assert {folder for folder, _ in embedded(tmp_path)} == {"b", "c", "d"}
    assert len(problems(tmp_path)) == 40


@pytest.mark.slow
def test_a_plan_survives_what_kills_its_process(tmp_path):
    make_folders(tmp_path, {"a": ["0", "1"], "plan-abort": ["0"], "plan-raise": ["0"]})
    inputs = [str(path) for path in sorted((tmp_path / "in").iterdir())]
    plan = ["plan", "hostile", "--input", *inputs, "--output", str(tmp_path / "out")]
    status, said = run(tmp_path, arguments=plan)
    assert status == 0, said
    assert "the process was killed by SIGABRT" in said
    assert "3: 1 planned" in said
    assert left_over(tmp_path) == []
    # The job goes on from there, and it was tried twice already.
    status, said = run(tmp_path, "--max_failed", "1", "--verbose")
    assert status == 0, said
    assert embedded(tmp_path) == {("a", "0.png"), ("a", "1.png")}
