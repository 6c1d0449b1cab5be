import gzip
import pickle

import pytest

from beamscope.transforms.images.labels import LabelFile, LabelRow, LabelTable, folder_label
from beamscope.transforms.problems import InputError

CSV = b"file,label,cluster\na/1.jpg,x,c1\nb/1.jpg,y,\n3,z,c3\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/a/1.jpg", LabelRow("x", {"cluster": "c1"})),
        ("/data/x.zip/b\\1.JPG", LabelRow("y", {})),
        ("gs://bucket/deep/3.png", LabelRow("z", {"cluster": "c3"})),
        ("/data/1.jpg", None),
        ("/data/c/1.jpg", None),
    ],
)
def test_rows_are_found_by_the_end_of_the_path(path, expected):
    assert LabelTable(CSV, None, None).find(path) == expected


def test_columns_can_be_named():
    table = LabelTable(b"id,name,grade\n7,a.png,high\n", "name", "grade")
    assert table.find("/a.png") == LabelRow("high", {"id": "7"})
    assert (len(table), table.first_key()) == (1, "a.png")


def test_a_table_without_labels_gives_fields_alone():
    assert LabelTable(b"name,age\na.png,7\n", None, None).find("a.png") == LabelRow(
        None, {"age": "7"}
    )


@pytest.mark.parametrize(
    ("data", "key", "label", "kind", "message"),
    [
        (CSV, "path", None, "missing_column", "it has no column 'path'; it has 'file', 'label'"),
        (CSV, None, "grade", "missing_column", "it has no column 'grade'"),
        (b"file\na.png\nA/../a.png\n", None, None, "duplicate_key", "on line 2 and on 3"),
        (b"file,label\n,x\n", None, None, "empty_key", "line 2 has no file"),
        (b"", None, None, "missing_column|unreadable_catalog", "it has no"),
        (b"a\n\xff\xff\n", None, None, "unreadable_catalog", "not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_errors(data, key, label, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        LabelTable(data, key, label)
    assert str(caught.value.kind) in kind.split("|")


def test_a_file_is_loaded_once_and_travels_by_its_name(tmp_path):
    path = tmp_path / "labels.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    file = LabelFile.find(str(path))
    assert file.load() is pickle.loads(pickle.dumps(file)).load()


def test_a_file_that_changes_is_another_one_errors(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(CSV)
    before = LabelFile.find(str(path))
    path.write_bytes(CSV + b"4,x,\n")
    with pytest.raises(InputError, match="it has changed since the start"):
        before.load()
    now = LabelFile.find(str(path))
    assert len(now.load()) == 4
    assert now.fingerprint_value() != before.fingerprint_value()


def test_a_missing_file_is_named_errors(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv") as caught:
        LabelFile.find(str(tmp_path / "none.csv"))
    assert caught.value.kind == "unreadable_file"


@pytest.mark.parametrize(
    ("member", "label"),
    [("a/1.jpg", "a"), ("train/a/1.jpg", "a"), ("x\\b\\1.jpg", "b"), ("1.jpg", None)],
)
def test_folder_label(member, label):
    assert folder_label(member) == label
