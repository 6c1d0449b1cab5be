import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from beamscope.transforms.blocks import BlockKey
from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.claim import claim_output, delete_output
from beamscope.transforms.output.cluster_job import ClusterJob
from beamscope.transforms.output.layout import Layout, run_record
from beamscope.transforms.output.run_record import RunRecord, note_cluster_job, read_run_record
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

PLAN = {"job": "slides", "mpp": 0.5, "tissue": "otsu"}


def record_of(plan: dict[str, Any], model: str = "9f", job: str = "slides") -> RunRecord:
    fingerprint = Fingerprint(plan)
    embedding = Fingerprint({"plan": fingerprint.digest, "model_digest": model})
    return RunRecord(job, 7, "images" if job == "xrays" else "slides", fingerprint, embedding)


RUN = record_of(PLAN)
OTHER_PLAN = record_of({**PLAN, "mpp": 0.25})
OTHER_MODEL = record_of(PLAN, "aa")
OTHER_JOB = record_of({"job": "xrays", "window": "auto"}, job="xrays")


def _claim(root: Path, record: RunRecord = RUN, *, overwrite: bool = False) -> None:
    claim_output(str(root), record, overwrite=overwrite)


@pytest.mark.parametrize("name", ["new/out", "a [b]", "empty"])
def test_claim_of_a_fresh_output(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    _claim(tmp_path / name)
    written = json.loads(Path(run_record(str(tmp_path / name))).read_bytes())
    assert written.pop("crc32c")
    assert written == {
        "format": 3,
        "job": "slides",
        "items": 7,
        "table": "slides",
        "plan": {"fingerprint": RUN.plan.digest, "settings": PLAN},
        "embedding": {
            "fingerprint": RUN.embedding.digest,
            "settings": {"plan": RUN.plan.digest, "model_digest": "9f"},
        },
        "permissions": {},
    }
    assert read_run_record(str(tmp_path / name)) == RUN


def test_claim_continues_a_run_of_the_same_settings(tmp_path: Path) -> None:
    _claim(tmp_path)
    written = _fill(tmp_path)
    _claim(tmp_path, record_of(dict(reversed(PLAN.items()))))
    assert all(path.exists() for path in written)


def test_claim_of_a_directory_with_files_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"mine")
    _claim(tmp_path)
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"


def test_the_job_on_a_cluster_is_kept_until_all_begins_anew(tmp_path: Path) -> None:
    job = ClusterJob("Dataflow", "2026-11-26_1", "https://example.org/j")
    _claim(tmp_path)
    note_cluster_job(str(tmp_path), job)
    assert read_run_record(str(tmp_path)) == dataclasses.replace(RUN, cluster_job=job)
    _claim(tmp_path)
    assert read_run_record(str(tmp_path)) == dataclasses.replace(RUN, cluster_job=job)
    _claim(tmp_path, overwrite=True)
    assert read_run_record(str(tmp_path)) == RUN


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (OTHER_PLAN, r"settings: mpp was 0\.5 and is now 0\.25\."),
        (OTHER_MODEL, r"settings: model_digest was '9f' and is now 'aa'\."),
        (OTHER_JOB, r"settings: job was 'slides' and is now 'xrays'\."),
    ],
)
def test_claim_output_errors(tmp_path: Path, other: RunRecord, named: str) -> None:
    _claim(tmp_path)
    files.write_bytes(RUN.layout(str(tmp_path)).part(BlockKey("a", 0), 4), b"ours")
    before = Path(run_record(str(tmp_path))).read_bytes()
    with pytest.raises(InputError, match=named) as raised:
        _claim(tmp_path, other)
    assert raised.value.kind == "other_settings"
    assert str(tmp_path) in raised.value.message
    assert Path(run_record(str(tmp_path))).read_bytes() == before


@pytest.mark.parametrize("other", [OTHER_PLAN, OTHER_MODEL, OTHER_JOB])
def test_other_settings_are_free_as_long_as_nothing_is_embedded(
    tmp_path: Path, other: RunRecord
) -> None:
    _claim(tmp_path)
    plan = Path(RUN.layout(str(tmp_path)).plan("a"))
    files.write_bytes(str(plan), b"planned")
    _claim(tmp_path, other)
    _claim(tmp_path)
    assert plan.read_bytes() == b"planned"


def test_two_models_share_one_plan(tmp_path: Path) -> None:
    one, other = (record.layout(str(tmp_path)) for record in (RUN, OTHER_MODEL))
    assert one.plan("a") == other.plan("a")
    assert one.item_parts("a") != other.item_parts("a")
    assert one.all_item_parts("a") == other.all_item_parts("a")


def test_claim_output_errors_on_an_output_of_version_0_1(tmp_path: Path) -> None:
    old = {"job": "slides", "items": 7, "fingerprint": "ab", "settings": {"mpp": 0.5}}
    files.write_bytes(run_record(str(tmp_path)), json.dumps(old).encode())
    for path in ("dataset.json", "slides.parquet", ".beamscope/ab/plans/a.arrow"):
        files.write_bytes(str(tmp_path / path), b"old")
    with pytest.raises(InputError, match=r"was begun by beamscope 0\.1") as raised:
        _claim(tmp_path)
    assert raised.value.kind == "old_output"
    _claim(tmp_path, overwrite=True)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["run.json"]


@pytest.mark.parametrize(
    "name",
    [
        "embeddings/embeddings-00000-of-00001.parquet",
        "embeddings-tfrecord/embeddings-00000-of-00001.tfrecord",
        "embeddings-tfrecord.gz/embeddings-00000-of-00001.tfrecord.gz",
        pytest.param("embeddings-00000-of-00001.parquet", id="of version 0.2"),
    ],
)
def test_claim_output_errors_on_embeddings_of_unknown_origin(tmp_path: Path, name: str) -> None:
    shard = tmp_path / name
    files.write_bytes(str(shard), b"of whom?")
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
    """Everything that a run writes but for its plans."""
    layout = RUN.layout(str(root))
    paths = [
        layout.description,
        layout.problems,
        layout.sidecar("parsing_spec.json"),
        layout.table("slides"),
        *(layout.shard(0, 2, extension) for extension in ("parquet", "tfrecord", "tfrecord.gz")),
        f"{root}/embeddings-00000-of-00001.parquet",  # Version 0.2 wrote them here.
        layout.picture("a"),
        f"{layout.item_parts('a')}/000000-4.arrow",
    ]
    for path in paths:
        files.write_bytes(path, b"ours")
    return [Path(path) for path in paths]


@pytest.mark.parametrize("record", [RUN, OTHER_PLAN, OTHER_MODEL, OTHER_JOB])
def test_overwrite_deletes_what_is_embedded_and_nothing_else(
    tmp_path: Path, record: RunRecord
) -> None:
    _claim(tmp_path)
    _fill(tmp_path)
    plan = f".beamscope/{RUN.plan.digest}/plans/a.arrow"
    theirs = [
        "notes.txt",
        "images.parquet",
        "embeddings.parquet",
        "below/embeddings-00000-of-00001.parquet",
        "embeddings/below/embeddings-00000-of-00001.parquet",
        "embeddings/notes.txt",
        ".git/x",
    ]
    for name in (*theirs, plan):
        files.write_bytes(str(tmp_path / name), b"stays")
    _claim(tmp_path, record, overwrite=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*theirs, plan, ".beamscope/run.json"}
    assert read_run_record(str(tmp_path)) == record


def test_overwrite_deletes_what_a_killed_run_was_writing(tmp_path: Path) -> None:
    with files.atomic_path(Layout(str(tmp_path), "p1", "f1").shard(0, 1, "parquet")) as temporary:
        temporary.write_bytes(b"half")
        shutil.copy(temporary, temporary.with_name(f".killed{files.TEMPORARY_SUFFIX}"))
    delete_output(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_delete_output_can_be_repeated(tmp_path: Path) -> None:
    _claim(tmp_path)
    _fill(tmp_path)
    for _ in range(2):
        delete_output(str(tmp_path))
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    delete_output(str(tmp_path / "none"))


def test_a_permission_can_be_given_later_but_not_be_taken_back(tmp_path: Path) -> None:
    without = dataclasses.replace(RUN, permissions={"allow_upsampling": False})
    with_it = dataclasses.replace(RUN, permissions={"allow_upsampling": True})
    for record in (without, with_it, with_it):
        claim_output(str(tmp_path), record)
    # Nothing is embedded yet, so that nothing can be lost.
    claim_output(str(tmp_path), without)
    claim_output(str(tmp_path), with_it)
    (tmp_path / "embeddings-00000-of-00001.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="allow_upsampling was True and is now False"):
        claim_output(str(tmp_path), without)
