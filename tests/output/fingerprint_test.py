import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.output.fingerprint import Fingerprint, claim_output, delete_output
from beamscope.transforms.output.layout import Layout, run_record
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
SETTINGS = st.dictionaries(st.text(max_size=5), VALUES | st.lists(VALUES, max_size=3), max_size=5)

RUN = Fingerprint({"mpp": 0.5, "tissue": "otsu", "model_digest": "9f"})
OTHER = Fingerprint({"mpp": 0.25, "tissue": "otsu", "model_digest": "9f"})


@given(SETTINGS)
def test_digest_does_not_depend_on_order(settings: dict[str, Any]) -> None:
    turned = dict(reversed(settings.items()))
    assert Fingerprint(turned).digest == Fingerprint(settings).digest
    assert Fingerprint(settings).differences(turned) == []


@given(SETTINGS, st.text(max_size=5), VALUES)
def test_digest_changes_with_any_value(settings: dict[str, Any], name: str, value: Any) -> None:
    changed = {**settings, name: value}
    same = json.dumps(changed, sort_keys=True) == json.dumps(settings, sort_keys=True)
    assert (Fingerprint(changed).digest == Fingerprint(settings).digest) is same


@given(SETTINGS)
def test_settings_read_back_from_json_do_not_differ(settings: dict[str, Any]) -> None:
    assert Fingerprint(settings).differences(json.loads(json.dumps(settings))) == []


def test_digest_is_16_hex_digits() -> None:
    # printf '{"mpp":0.5}' | sha256sum
    assert Fingerprint({"mpp": 0.5}).digest == "ece8abf296c55dd4"


@pytest.mark.parametrize(
    ("now", "was", "differences"),
    [
        ({"mpp": 0.25}, {"mpp": 0.5}, ["mpp was 0.5 and is now 0.25"]),
        ({"mask": "a"}, {}, ["mask was None and is now 'a'"]),
        ({}, {"mask": "a"}, ["mask was 'a' and is now None"]),
        ({"size": 1}, {"size": True}, ["size was True and is now 1"]),
        ({"size": 1.0}, {"size": 1}, ["size was 1 and is now 1.0"]),
        ({"shape": (1, 2)}, {"shape": [1, 2]}, []),
        (
            {"b": 1, "a": 1, "c": 1},
            {"b": 2, "a": 2, "c": 1},
            ["a was 2 and is now 1", "b was 2 and is now 1"],
        ),
    ],
)
def test_differences(now: dict[str, Any], was: dict[str, Any], differences: list[str]) -> None:
    assert Fingerprint(now).differences(was) == differences


def _claim(root: Path, fingerprint: Fingerprint = RUN, *, overwrite: bool = False) -> None:
    claim_output(str(root), fingerprint, job="slides", items=7, overwrite=overwrite)


@pytest.mark.parametrize("name", ["new/out", "a [b]", "empty"])
def test_claim_of_a_fresh_output(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    _claim(tmp_path / name)
    assert json.loads(Path(run_record(str(tmp_path / name))).read_bytes()) == {
        "job": "slides",
        "items": 7,
        "fingerprint": RUN.digest,
        "settings": RUN.settings,
    }


def test_claim_continues_a_run_of_the_same_settings(tmp_path: Path) -> None:
    _claim(tmp_path)
    written = _fill(tmp_path)
    _claim(tmp_path, Fingerprint(dict(reversed(RUN.settings.items()))))
    assert all(path.exists() for path in written)


def test_claim_of_a_directory_with_files_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")
    _claim(tmp_path)
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"


def test_claim_output_errors(tmp_path: Path) -> None:
    _claim(tmp_path)
    before = Path(run_record(str(tmp_path))).read_bytes()
    with pytest.raises(InputError, match=r"mpp was 0\.5 and is now 0\.25") as raised:
        _claim(tmp_path, OTHER)
    assert raised.value.kind == "other_settings"
    assert str(tmp_path) in raised.value.message
    assert "tissue" not in raised.value.message
    assert Path(run_record(str(tmp_path))).read_bytes() == before


@pytest.mark.parametrize("extension", ["parquet", "tfrecord", "tfrecord.gz"])
def test_claim_output_errors_on_embeddings_of_unknown_origin(
    tmp_path: Path, extension: str
) -> None:
    shard = Path(Layout(str(tmp_path), "f1").shard(0, 1, extension))
    shard.write_bytes(b"of whom?")
    with pytest.raises(InputError, match="cannot be continued") as raised:
        _claim(tmp_path)
    assert raised.value.kind == "foreign_output"
    assert shard.read_bytes() == b"of whom?"
    assert not Path(run_record(str(tmp_path))).exists()
    _claim(tmp_path, overwrite=True)
    assert not shard.exists()


def test_claim_output_errors_on_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(InputError, match="out: cannot be written to: ") as raised:
        _claim(tmp_path / "out")
    assert raised.value.kind == "unwritable_output"


def _fill(root: Path) -> list[Path]:
    """Everything that a run writes."""
    layout = Layout(str(root), RUN.digest)
    paths = [
        layout.description,
        layout.problems,
        layout.parsing_spec,
        layout.table("slides"),
        layout.table("images"),
        *(layout.shard(0, 2, extension) for extension in ("parquet", "tfrecord", "tfrecord.gz")),
        layout.picture("a"),
        layout.plan("a"),
        f"{layout.item_parts('a')}/000000-4.arrow",
    ]
    for path in paths:
        files.write_bytes(path, b"ours")
    return [Path(path) for path in paths]


@pytest.mark.parametrize("fingerprint", [RUN, OTHER])
def test_overwrite_deletes_what_is_ours_and_nothing_else(
    tmp_path: Path, fingerprint: Fingerprint
) -> None:
    _claim(tmp_path)
    _fill(tmp_path)
    theirs = [
        "notes.txt",
        "embeddings.parquet",
        "below/embeddings-00000-of-00001.parquet",
        ".git/x",
    ]
    for name in theirs:
        files.write_bytes(str(tmp_path / name), b"theirs")
    _claim(tmp_path, fingerprint, overwrite=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*theirs, ".beamscope/run.json"}
    assert json.loads(Path(run_record(str(tmp_path))).read_bytes())["fingerprint"] == (
        fingerprint.digest
    )


def test_overwrite_deletes_what_a_killed_run_was_writing(tmp_path: Path) -> None:
    with files.atomic_path(Layout(str(tmp_path), "f1").shard(0, 1, "parquet")) as temporary:
        temporary.write_bytes(b"half")
        shutil.copy(temporary, temporary.with_name(f".killed{files.TEMPORARY_SUFFIX}"))
    delete_output(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_delete_output_can_be_repeated(tmp_path: Path) -> None:
    _fill(tmp_path)
    for _ in range(2):
        delete_output(str(tmp_path))
        assert list(tmp_path.iterdir()) == []
    delete_output(str(tmp_path / "none"))
