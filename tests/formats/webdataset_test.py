"""WebDataset files against the convention: names, order and content, read by tarfile."""

import contextlib
import json
import tarfile

import pyarrow as pa
import pytest

from beamscope.transforms.formats.webdataset import WebDatasetShardWriter

SCHEMA = pa.schema(
    [
        pa.field("slide_id", pa.string()),
        pa.field("x_level0", pa.int32()),
        pa.field("tags", pa.map_(pa.string(), pa.string())),
        pa.field("image", pa.binary()),
        pa.field("encoding", pa.string()),
    ]
)
ROWS = [
    {"slide_id": "ü.a/b", "x_level0": 7, "tags": [("k", "v")], "image": b"1" * 700,
     "encoding": "jpeg"},
    {"slide_id": None, "x_level0": 8, "tags": None, "image": b"", "encoding": "png"},
    {"slide_id": "c", "x_level0": 9, "tags": [], "image": b"3", "encoding": "jpeg"},
]  # fmt: skip


def write(path, *batches):
    with contextlib.closing(WebDatasetShardWriter(path, SCHEMA)) as writer:
        for rows in batches:
            writer.write(pa.RecordBatch.from_pylist(rows, SCHEMA))
    return path


def samples(path):
    """Group the files of a tar as readers of WebDataset do: by name up to the first dot."""
    found = []
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, ending = member.name.partition(".")
            if not found or found[-1]["__key__"] != key:
                found.append({"__key__": key})
            found[-1][ending] = tar.extractfile(member).read()
    return found


def test_a_sample_is_an_image_and_its_columns(tmp_path):
    found = samples(write(tmp_path / "a.tar", ROWS[:2], ROWS[2:]))
    assert [sample["__key__"] for sample in found] == ["00000000", "00000001", "00000002"]
    assert [sorted(sample) for sample in found] == [
        ["__key__", "jpg", "json"], ["__key__", "json", "png"], ["__key__", "jpg", "json"],
    ]  # fmt: skip
    assert found[0]["jpg"] == b"1" * 700
    assert json.loads(found[0]["json"]) == {
        "slide_id": "ü.a/b", "x_level0": 7, "tags": {"k": "v"}, "encoding": "jpeg",
    }  # fmt: skip
    assert json.loads(found[1]["json"])["slide_id"] is None


def test_the_same_rows_give_the_same_bytes(tmp_path):
    one = write(tmp_path / "a.tar", ROWS).read_bytes()
    assert write(tmp_path / "b.tar", ROWS[:1], ROWS[1:]).read_bytes() == one


def test_an_empty_shard_is_an_empty_tar(tmp_path):
    assert samples(write(tmp_path / "a.tar")) == []


def test_rows_without_images_are_refused_errors(tmp_path):
    with pytest.raises(ValueError, match="encoded images"):
        WebDatasetShardWriter(tmp_path / "a.tar", SCHEMA.remove(3))
