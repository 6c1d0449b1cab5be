"""Several starts that each embed a part of one output, and one that ends it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.output.leases.held import held
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.sample import write_sample_archive
from tests.xrays.models import save_grid_model

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_grid_model(tmp_path_factory.mktemp("model") / "grid")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A zip of 40 blocks, which parts share, and a tar.gz, which one of them reads."""
    folder = tmp_path_factory.mktemp("archives")
    write_sample_archive(folder / "shared.zip", "zip", 8 * BLOCKS)
    write_sample_archive(folder / "stream.tgz", "tgz", 20, 3)
    return folder


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for number in range(4):
        spec = SampleSlide(width=700, height=600, mpp=0.5, seed=number)
        write_sample_slide(folder / f"s{number}.svs", spec)
    return folder


def films(archives, model, output, *more):
    return [
        "xrays", "--input", str(archives / "shared.zip"), str(archives / "stream.tgz"),
        "--block_size", "8", "--model", str(model), "--output", str(output), *more,
    ]  # fmt: skip


def started(command, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "beamscope", *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def parts_of(output):
    """When each part was written; one that is replaced meanwhile is left out."""
    found = {}
    for path in (output / ".beamscope").glob("*/parts/**/*.arrow"):
        with contextlib.suppress(FileNotFoundError):
            found[str(path.relative_to(output))] = path.stat().st_mtime_ns
    return found


def assert_same(output, plain, table):
    names = [f"{table}.parquet", "problems.parquet"]
    names += sorted(str(path.relative_to(plain)) for path in plain.glob("embeddings/*"))
    for name in names:
        one, other = pq.read_table(output / name), pq.read_table(plain / name)
        assert one.equals(other, check_metadata=True), name


def test_three_at_once_one_killed_and_started_again(archives, model, tmp_path, capfd):
    plain, output = tmp_path / "plain", tmp_path / "out"
    assert main(films(archives, model, plain)) == 0
    command = films(archives, model, output)
    tasks = [started([*command, "--part", f"{number}/3"]) for number in (1, 2, 3)]
    while tasks[1].poll() is None and len(parts_of(output)) < 3:
        time.sleep(0.005)
    os.killpg(tasks[1].pid, signal.SIGKILL)
    said = [task.communicate(timeout=200)[0] for task in tasks]
    assert [tasks[0].returncode, tasks[2].returncode] == [0, 0], said
    before = parts_of(output)
    assert 0 < len(before) <= len(parts_of(plain))
    assert "part      1/3 of 2 sources" in said[0]
    assert not (output / "dataset.json").exists()

    # It is started again by its scheduler, which counts from 0.
    again = started([*command, "--part", "auto/3", "--verbose"], JOB_COMPLETION_INDEX="1")
    text = again.communicate(timeout=200)[0]
    assert again.returncode == 0, text
    assert "left      nothing to embed" in text
    after = parts_of(output)
    assert set(after) == set(parts_of(plain))
    assert {name: after[name] for name in before} == before
    assert main([*command, "--only", "assemble"]) == 0
    assert parts_of(output) == after
    assert_same(output, plain, "images")
    # No record of a try, and nothing temporary, is left of the one that was killed.
    left = [path.name for path in output.glob("**/*") if path.is_file()]
    assert not [name for name in left if name.startswith("plan.") or "tmp" in name]


def test_another_number_of_tasks_does_nothing_twice(slides, model, tmp_path, capsys):
    def embed(output, *more):
        capsys.readouterr()
        command = ["slides", "--input", slides, "--model", model, "--patch_size", 32, "--tissue",
                   "none", "--output", output, *more]  # fmt: skip
        return main([*map(str, command)])

    plain, output = tmp_path / "plain", tmp_path / "out"
    assert embed(plain) == 0
    everything = set(parts_of(plain))
    seen = {}
    for part in ("1/2", "2/3", "auto"):
        assert embed(output, "--part", part if part != "auto" else "1/1") == 0
        now = parts_of(output)
        assert {name: now[name] for name in seen} == seen
        seen = now
        printed = capsys.readouterr().out
        if set(seen) != everything:
            assert "for other parts" in printed
    assert "--only assemble" in printed
    assert set(seen) == everything
    assert embed(output) == 0
    assert parts_of(output) == seen
    assert_same(output, plain, "slides")
    assert embed(output, "--part", "1/2") == 0
    assert "complete before: nothing to do" in capsys.readouterr().out


def test_what_may_run_at_once(archives, model, tmp_path, capsys):
    output = tmp_path / "out"
    command = films(archives, model, output)
    with held(str(output), "another", slot="part-1-of-20"):
        for more in ([], ["--part", "1/3"], ["--part", "1/20"], ["--only", "assemble"]):
            if more[:1] == ["--only"]:
                continue
            assert main([*command, *more]) == 2
            (line,) = capsys.readouterr().err.strip().splitlines()
            assert "is writing part 1/20 of it since" in line
        assert main([*command, "--part", "2/20"]) == 0
        assert "for other parts" in capsys.readouterr().out
    with held(str(output), "another"):
        assert main([*command, "--part", "2/20"]) == 2
        assert "is writing it since" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--part", "4/3"], "--part 4/3: parts are counted from 1"),
        (["--part", "1/3", "--only", "assemble"], "leave one out"),
        (["--part", "1/3", "--overwrite"], "would delete what the other parts have embedded"),
        (
            ["--part", "1/3", "--runner", "PrismRunner", "--environment_type", "EXTERNAL"],
            "this runner spreads the work by itself",
        ),
    ],
)
def test_parts_that_cannot_be_are_one_line(archives, model, tmp_path, capsys, more, message):
    assert main([*films(archives, model, tmp_path / "out"), *more]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_a_sample_of_all_slides_has_no_parts(slides, tmp_path, capsys):
    command = ["patches", "--input", slides, "--sample_total", 9, "--part", "1/2", "--output"]
    assert main([*map(str, command), str(tmp_path / "out")]) == 2
    assert "draws from all slides together" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
