"""Run the programs of docs/reading.md unchanged, but for the places of files."""

import re
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

import beamscope as bs
from tests.dataset.samples import embeddings_of, write_films, write_slides

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reading.md").read_text()
PATIENTS = [f"TCGA-AA-{index:04}" for index in range(9)]
SIZES = {f"{patient}-01Z-00-DX1": 30 + index for index, patient in enumerate(PATIENTS)}
SIZES |= {f"{patient}-01Z-00-DX2": 20 for patient in PATIENTS[:4]}
LABEL = {patient: index % 2 for index, patient in enumerate(PATIENTS)}
ROWS = sum(SIZES.values())
FEATURES = 4


def programs():
    """The programs of the page by the heading that they stand under."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        for index, program in enumerate(re.findall(r"```python\n(.*?)```", text, re.S)):
            found[f"{heading} {index}"] = program
    return found


PROGRAMS = programs()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The directory of a dataset of slides, with tables of labels beside it."""
    folder = tmp_path_factory.mktemp("reading")
    write_slides(folder / "out", {**SIZES, "TCGA-BB-0001-01Z": 0}, 2)
    by_slide = "".join(f"{slide},{LABEL[slide[:12]]}\n" for slide in SIZES)
    (folder / "labels.csv").write_text("slide_id,label\n" + by_slide)
    by_patient = "".join(f"{patient},{label}\n" for patient, label in LABEL.items())
    (folder / "patients.csv").write_text("patient,label\n" + by_patient)
    return folder


@pytest.fixture
def run(places, monkeypatch, tmp_path):
    """Runs a program and returns what it defines."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def program(name):
        text = PROGRAMS[name].replace("OUTPUT", str(places / "out"))
        for table in ("labels.csv", "patients.csv"):
            text = text.replace(f'"{table}"', repr(str(places / table)))
        found = {}
        exec(text, found)
        return found

    return program


def all_embeddings():
    return np.concatenate([embeddings_of(slide, SIZES[slide]) for slide in sorted(SIZES)])


def test_open_dataset(run, capsys):
    found = run("open_dataset 0")
    first = sorted(SIZES)[0]
    np.testing.assert_array_equal(found["embeddings"], embeddings_of(first, SIZES[first]))
    assert found["coordinates"].shape == (SIZES[first], 2)
    assert f"{ROWS:,} rows of {len(SIZES)} slides" in capsys.readouterr().out


def test_labels(run):
    found = run("Labels by slide and by patient 0")
    for table in (found["by_slide"], found["by_patient"]):
        assert table["label"].to_pylist() == [LABEL[slide[:12]] for slide in sorted(SIZES)]


def test_scikit_learn(run):
    found = run("scikit-learn 0")
    assert found["x"].shape == (len(SIZES), FEATURES)
    np.testing.assert_allclose(
        found["x"][0], embeddings_of(sorted(SIZES)[0], SIZES[sorted(SIZES)[0]]).mean(axis=0)
    )
    assert 0 <= found["auc"] <= 1


def test_pytorch_bags(run):
    pytest.importorskip("torch", reason="PyTorch's wheels bring CUDA, some 4 GB")
    found = run("PyTorch 0")
    assert found["embeddings"].shape[1] == FEATURES
    assert found["coordinates"].shape == (len(found["embeddings"]), 2)


def test_pytorch_stream(run):
    pytest.importorskip("torch", reason="PyTorch's wheels bring CUDA, some 4 GB")
    found = run("PyTorch 1")
    assert found["embeddings"].shape[1] == FEATURES
    assert len(found["label"]) == len(found["embeddings"])


def test_what_the_pytorch_programs_give_the_loader(places):
    """Without PyTorch: a loader with batch_size=None takes an item after the other."""

    class DataLoader:
        def __init__(self, data, batch_size, shuffle=False, num_workers=0):
            assert batch_size is None
            self.items = [data[index] for index in range(len(data))]

        def __iter__(self):
            return iter(self.items)

    text = PROGRAMS["PyTorch 0"].replace("OUTPUT", str(places / "out"))
    text = text.replace("from torch.utils.data import DataLoader\n", "")
    found = {"DataLoader": DataLoader}
    exec(text.replace('"patients.csv"', repr(str(places / "patients.csv"))), found)
    last = sorted(SIZES)[-1]
    np.testing.assert_array_equal(found["embeddings"], embeddings_of(last, SIZES[last]))
    assert found["label"] == LABEL[last[:12]]


def test_tf_data(run):
    batches = list(run("tf.data 0")["examples"].as_numpy_iterator())
    rows = np.concatenate([embeddings for embeddings, _ in batches])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(all_embeddings(), axis=0))
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.sum() == sum(SIZES[slide] for slide in SIZES if LABEL[slide[:12]])


def test_pandas(run):
    found = run("pandas 0")
    np.testing.assert_array_equal(found["embeddings"], all_embeddings())
    assert list(found["tissue"].columns) == ["slide_id", "tissue"]


def test_polars(run):
    found = run("polars 0")
    patches = dict(found["patches"].iter_rows())
    assert patches == SIZES
    assert found["embeddings"].shape == (found["rows"]["tissue"].len(), FEATURES)
    assert found["rows"]["tissue"].min() > 0.5


def test_duckdb(run):
    frame = run("DuckDB 0")["patches"]
    assert dict(zip(frame.slide_id, frame.patches, strict=True)) == SIZES


def test_pyarrow(run):
    found = run("pyarrow 0")
    assert found["shards"].count_rows() == ROWS
    tissue = bs.open_dataset(found["shards"].files[0].partition("/embeddings/")[0]).load().rows
    assert found["high"].num_rows == sum(value > 0.9 for value in tissue["tissue"].to_pylist())


def test_hugging_face(run):
    found = run("Hugging Face datasets 0")
    assert len(found["rows"]) == ROWS
    np.testing.assert_array_equal(found["first"], all_embeddings()[:16])
    assert sum(1 for _ in found["stream"]) == ROWS


def test_hugging_face_with_chosen_columns(run, tmp_path):
    rows = run("Hugging Face datasets 1")["rows"].with_format("numpy")
    np.testing.assert_array_equal(rows[:16]["embedding"], all_embeddings()[:16])
    films = write_films(tmp_path / "films", {"z": ["p1_a", "p2_b"]})
    program = PROGRAMS["Hugging Face datasets 1"].replace("OUTPUT", films)
    found = {}
    exec(program.replace('"slide_id"', '"image_id", "patient_id"'), found)
    assert found["rows"]["patient_id"] == ["p1", "p2"]


FILM_READERS = {
    "pandas": lambda folder: pd.read_parquet(folder)["embedding"],
    "pyarrow": lambda folder: ds.dataset(folder).to_table()["embedding"].to_pylist(),
    "polars": lambda folder: pl.read_parquet(folder)["embedding"].to_list(),
    "duckdb": lambda folder: duckdb.sql(f"FROM '{folder}/*.parquet'").df()["embedding"],
}


@pytest.mark.parametrize("reader", FILM_READERS)
def test_the_folder_of_films_is_a_table_too(tmp_path, reader):
    films = write_films(tmp_path / "films", {"a": ["p1_a", "p2_b"], "z": ["q"]}, 2)
    found = np.stack([np.asarray(row) for row in FILM_READERS[reader](f"{films}/embeddings")])
    np.testing.assert_array_equal(
        found, np.concatenate([embeddings_of("a", 2), embeddings_of("z", 1)])
    )


def test_every_program_is_tested():
    text = Path(__file__).read_text()
    assert [name for name in PROGRAMS if f'"{name}"' not in text] == []
    used = set(re.findall(r"\bbs\.(\w+)", PAGE))
    assert used <= set(bs.__all__)
