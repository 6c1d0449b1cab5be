"""Labels by slide and by patient, from every kind of table."""

import gzip
import warnings

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beamscope as bs
from tests.dataset.samples import write_films, write_slides

SLIDES = ("P1-a", "P1-b", "P2-a")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    sizes = dict.fromkeys(SLIDES, 3) | {"P3-a": 0}
    return bs.open_dataset(write_slides(tmp_path_factory.mktemp("slides"), sizes))


LABELS = {"slide_id": list(SLIDES), "label": [1, 0, 1]}


def _csv(path):
    path.write_text("label,slide_id\n1,P2-a\n1,P1-a\n0,P1-b\n1,elsewhere\n")
    return str(path)


def _gzipped(path):
    path.write_bytes(gzip.compress(b"label,slide_id\n1,P2-a\n1,P1-a\n0,P1-b\n"))
    return str(path)


def _parquet(path):
    pq.write_table(pa.table(LABELS), path)
    return str(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: _csv(folder / "l.csv"),
        lambda folder: _gzipped(folder / "l.csv.gz"),
        lambda folder: _parquet(folder / "l.parquet"),
        lambda folder: LABELS,
        lambda folder: pa.table(LABELS),
        lambda folder: pd.DataFrame(LABELS),
        lambda folder: pl.DataFrame(LABELS),
    ],
    ids=["csv", "gzip", "parquet", "dict", "arrow", "pandas", "polars"],
)
def test_labels_by_slide(dataset, tmp_path, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = dataset.join(make(tmp_path))
    assert table["slide_id"].to_pylist() == list(SLIDES)
    assert table["label"].to_pylist() == [1, 0, 1]
    assert table["mpp_x"].to_pylist() == [0.25] * 3
    assert dataset.bags(table).labels == [1, 0, 1]


def test_labels_by_patient(dataset, tmp_path):
    path = tmp_path / "patients.csv"
    path.write_text("patient,grade,age\nP1,high,61\nP2,low,\n")
    table = dataset.join(str(path), on="patient", key=lambda slide_id: slide_id[:2])
    assert table["patient"].to_pylist() == ["P1", "P1", "P2"]
    assert table["grade"].to_pylist() == ["high", "high", "low"]
    assert table["age"].to_pylist() == [61, 61, None]


def test_a_column_of_the_dataset_may_be_the_key(dataset):
    table = dataset.join({"uri": ["/slides/P1-a.svs"], "label": [3]}, on="uri")
    assert table["label"].to_pylist() == [3, None, None]


def test_films_by_patient(tmp_path):
    dataset = bs.open_dataset(write_films(tmp_path, {"z": ["p1_a", "p1_b", "p2_a"]}))
    table = dataset.join({"patient_id": ["p2", "p1"], "label": [0, 1]}, on="patient_id")
    assert table["label"].to_pylist() == [1, 1, 0]


def test_identifiers_stay_text(tmp_path):
    dataset = bs.open_dataset(write_slides(tmp_path / "d", {"007": 2, "1e3": 2}))
    (tmp_path / "l.csv").write_text("slide_id,label\n007,0.5\n1e3,2\n")
    table = dataset.join(str(tmp_path / "l.csv"))
    assert table["label"].to_pylist() == [0.5, 2.0]


def test_slides_without_a_label_are_told_and_left_out(dataset):
    with pytest.warns(UserWarning, match=r"2 of 3 slides have no row: 'P1-b', 'P2-a'"):
        table = dataset.join({"slide_id": ["P1-a"], "label": [1], "status": ["mine"]})
    assert table["label"].to_pylist() == [1, None, None]
    assert table["status"].to_pylist() == ["done"] * 3
    assert table["status_right"].to_pylist() == ["mine", None, None]
    assert dataset.bags(table).ids == ["P1-a"]
    assert dataset.bags({"P2-a": 4}).ids == ["P2-a"]


def test_columns_of_the_manifest_are_labels_as_they_are(dataset):
    assert dataset.bags(dataset.slides, label="status").labels == ["done"] * 3
    (batch,) = dataset.stream(99, dataset.slides, label="mpp_x")
    assert batch["label"].tolist() == [0.25] * 9


@pytest.mark.parametrize(
    ("table", "on", "message"),
    [
        ({"slide": ["P1-a"], "label": [1]}, None, "no column 'slide_id'; did you mean 'slide'?"),
        ({"slide_id": ["P1-a"] * 2, "label": [1, 0]}, None, "2 rows have slide_id 'P1-a'"),
        ({"slide_id": ["p1"], "label": [1]}, None, "no row belongs to any slide. Its slide_id is "
         "like 'p1', and that of the dataset is like 'P1-a', 'P1-b', 'P2-a'"),
        ({"patient": ["P1"], "label": [1]}, "patient", "Give key= to derive it from the id"),
        ("none.csv", None, "none.csv: cannot be read: "),
        (5, None, "is not a table"),
    ],
)  # fmt: skip
def test_join_errors(dataset, table, on, message):
    with pytest.raises(bs.InputError) as raised:
        dataset.join(table, on)
    assert raised.value.kind == "bad_table"
    assert message in raised.value.message
    assert "\n" not in raised.value.message


def test_a_label_that_the_table_lacks(dataset):
    with pytest.raises(bs.InputError, match="no column 'labl'; did you mean 'label'"):
        dataset.bags(dataset.join(LABELS), label="labl")
