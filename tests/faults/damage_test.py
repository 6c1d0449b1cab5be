"""Jobs on outputs of which files were damaged: made again, said, and the dataset as before."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from beamscope.pipelines.main import main
from tests.faults.job_test import command, embedded, make_folders, registered, times_read

__all__ = ["registered"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("registered")]

PICTURES = {"a": ["0", "1", "2", "3"], "b": ["10", "11", "12"], "c": ["20"]}
BLOCKS = ["a[0]", "a[1]", "b[0]", "b[1]", "c[0]"]

Spoil = Callable[[Path], object]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    chosen = random.Random(1)
    for place in chosen.sample(range(len(content)), min(200, len(content) // 2)):
        content[place] ^= 1 << chosen.randrange(8)
    path.write_bytes(content)


def zeroes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 4
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


SPOILS: dict[str, Spoil] = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped bytes": flip,
    "zeroes": zeroes,
    "garbage": lambda path: path.write_bytes(b"<html>no such file</html>" * 9),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "gone": lambda path: path.unlink(),
}


def foreign(path: Path) -> None:
    others = [other for other in sorted(path.parents[2].rglob("*.arrow")) if other != path]
    path.write_bytes(others[-1].read_bytes())


@pytest.fixture
def done(tmp_path):
    """A dataset, and its files as they were written."""
    make_folders(tmp_path, PICTURES)
    assert main(command(tmp_path, "--format", "parquet", "tfrecord")) == 0
    return {
        path: path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and ".beamscope" not in path.parts
    }


def again(root: Path, *more: str) -> int:
    return main(command(root, "--format", "parquet", "tfrecord", *more))


def assert_as_before(root: Path, done: dict[Path, bytes]) -> None:
    for path, content in done.items():
        if path.name != "dataset.json":
            assert path.read_bytes() == content, path
    assert main(["verify", str(root / "out")]) == 0


def file_of(root: Path, pattern: str) -> Path:
    return sorted((root / "out").glob(pattern))[0]


# sealed_test.py has every other way to spoil a file.
@pytest.mark.parametrize("spoil", ["half", "flipped bytes", "foreign"])
def test_a_damaged_part_is_done_again(tmp_path, done, capsys, spoil):
    part = file_of(tmp_path, ".beamscope/*/parts/a/*/000001-*.arrow")
    {**SPOILS, "foreign": foreign}[spoil](part)
    (tmp_path / "out" / "dataset.json").unlink()
    capsys.readouterr()
    assert again(tmp_path) == 0
    said = capsys.readouterr()
    assert_as_before(tmp_path, done)
    assert [times_read(tmp_path, block) for block in BLOCKS] == [1, 2, 1, 1, 1]
    if spoil != "gone":
        assert "repaired  damaged, and made again: 1 part" in said.out
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("spoil", ["half", "foreign", "gone"])
def test_a_damaged_plan_is_made_again_and_its_blocks_are_not(tmp_path, done, capsys, spoil):
    plan = file_of(tmp_path, ".beamscope/*/plans/a.arrow")
    {**SPOILS, "foreign": foreign}[spoil](plan)
    before = [path.read_bytes() for path in [plan] if path.exists()]
    (tmp_path / "out" / "dataset.json").unlink()
    capsys.readouterr()
    assert again(tmp_path) == 0
    said = capsys.readouterr()
    assert_as_before(tmp_path, done)
    assert [times_read(tmp_path, block) for block in BLOCKS] == [1] * 5
    if spoil != "gone":
        assert "repaired  damaged, and made again: 1 plan" in said.out
        assert plan.read_bytes() not in before


def test_a_plan_that_is_made_again_and_differs_keeps_no_block(tmp_path, done):
    file_of(tmp_path, ".beamscope/*/plans/a.arrow").write_bytes(b"")
    (tmp_path / "in" / "a" / "1.png").unlink()
    (tmp_path / "out" / "dataset.json").unlink()
    assert again(tmp_path) == 0
    assert ("a", "1.png") not in embedded(tmp_path)
    assert [times_read(tmp_path, block) for block in BLOCKS] == [2, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [("run.json", "empty"), ("run.json", "flipped bytes"), ("requests.json", "half")],
)
def test_a_damaged_record_is_made_again(tmp_path, done, capsys, name, spoil):
    record = tmp_path / "out" / ".beamscope" / name
    SPOILS[spoil](record)
    assert main(["verify", str(tmp_path / "out")]) == 3
    (tmp_path / "out" / "dataset.json").unlink()
    assert again(tmp_path) == 0
    assert_as_before(tmp_path, done)
    assert [times_read(tmp_path, block) for block in BLOCKS] == [1] * 5
    assert "Traceback" not in capsys.readouterr().err


def test_other_settings_are_refused_beside_a_damaged_record(tmp_path, done, capsys):
    (tmp_path / "out" / ".beamscope" / "run.json").write_bytes(b"")
    assert again(tmp_path, "--block_size", "3") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "run.json is damaged, and what is embedded there has other settings" in said


def test_nothing_is_dropped_beside_damaged_requests(tmp_path, done, capsys):
    (tmp_path / "out" / ".beamscope" / "requests.json").write_bytes(b"")
    less = command(tmp_path, "--format", "parquet", "tfrecord")
    less.remove(str(tmp_path / "in" / "b"))
    assert main(less) == 2
    assert "1 folders that have a plan there are not requested now (b)" in capsys.readouterr().err
    assert main([*less, "--only_these"]) == 0
    assert {folder for folder, _ in embedded(tmp_path)} == {"a", "c"}


@pytest.mark.parametrize(
    ("pattern", "spoil"),
    [
        ("embeddings/*.parquet", "gone"),
        ("embeddings/*.parquet", "flipped bytes"),
        ("**/*.tfrecord", "half"),
        ("folders.parquet", "zeroes"),
        ("problems.parquet", "empty"),
        ("parsing_spec.json", "longer"),
        ("dataset.json", "garbage"),
        ("dataset.json", "empty"),
    ],
)
def test_a_damaged_dataset_is_repaired(tmp_path, done, capsys, caplog, pattern, spoil):
    path = file_of(tmp_path, pattern)
    name = str(path.relative_to(tmp_path / "out"))
    SPOILS[spoil](path)
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "out"), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert [damaged["path"] for damaged in found["damaged"]] == [name]
    assert again(tmp_path) == 0
    assert f"{name}: it" in caplog.text
    capsys.readouterr()
    assert_as_before(tmp_path, done)
    assert [times_read(tmp_path, block) for block in BLOCKS] == [1] * 5
    # Now nothing is left to do.
    assert again(tmp_path) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_shard_of_another_dataset_is_named_and_removed(tmp_path, done, capsys):
    shard = file_of(tmp_path, "embeddings/*.parquet")
    strange = shard.with_name("embeddings-00007-of-00009.parquet")
    strange.write_bytes(shard.read_bytes())
    assert main(["verify", str(tmp_path / "out")]) == 3
    assert "is a shard that the dataset does not have" in capsys.readouterr().out
    assert again(tmp_path) == 0
    assert not strange.exists()
    assert_as_before(tmp_path, done)


def test_what_is_damaged_while_a_job_runs_is_made_again_by_the_same_command(
    tmp_path, monkeypatch, capsys, caplog
):
    """As on s3://, where the content of parts is first read when the dataset is assembled."""
    from beamscope.transforms.output.ptransforms import assemble

    make_folders(tmp_path, PICTURES)
    write, damaged = assemble.write_shard, []

    def spoil_first(*args):
        if not damaged:
            damaged.append(file_of(tmp_path, ".beamscope/*/parts/a/*/000001-*.arrow"))
            damaged.append(file_of(tmp_path, ".beamscope/*/parts/b/*/000000-*.arrow"))
            for path in damaged:
                flip(path)
        return write(*args)

    monkeypatch.setattr(assemble, "write_shard", spoil_first)
    assert main(command(tmp_path)) == 0
    assert "another pass makes it again" in caplog.text
    assert "Traceback" not in capsys.readouterr().err
    assert [times_read(tmp_path, block) for block in BLOCKS] == [1, 2, 2, 1, 1]
    assert len(embedded(tmp_path)) == 8
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_verify_of_what_is_not_complete(tmp_path, done, capsys):
    (tmp_path / "out" / "dataset.json").unlink()
    assert main(["verify", str(tmp_path / "out")]) == 3
    assert "dataset   not complete" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "in")]) == 2
    assert "is not the output of a beamscope job" in capsys.readouterr().err
    assert main(["status", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("command_name", ["status", "problems"])
@pytest.mark.parametrize(
    "pattern", ["dataset.json", "problems.parquet", ".beamscope/*/plans/a.arrow"]
)
def test_other_commands_say_it_in_a_line(tmp_path, done, capsys, command_name, pattern):
    for spoil in ("empty", "half", "garbage"):
        SPOILS[spoil](file_of(tmp_path, pattern))
        assert main([command_name, str(tmp_path / "out")]) in (0, 2)
        assert "Traceback" not in capsys.readouterr().err
