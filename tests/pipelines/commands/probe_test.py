"""`beamscope probe` from files to files."""

import csv
import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.probe import packages
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.probe.datasets import write_films, write_slides

QUICK = ["--C", "0.1", "--fractions", "10,100", "--draws", "2", "--bootstrap", "100"]


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of 40 patients: two datasets of the same films, one of them noise; and other films."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    labels = patients % 2
    names = [f"{label}/person{patient}_{n}.jpeg"
             for n, (patient, label) in enumerate(zip(patients, labels, strict=True))]  # fmt: skip
    good = random.normal(size=(120, 6)) + labels[:, None]
    write_films(folder / "good", names, good, shards=2, more={"embedding_b": good[:, :2]})
    write_films(folder / "noise", names, random.normal(size=(120, 9)))
    write_films(folder / "other", names, good + random.normal(size=good.shape),
                more={"embedding_b": good[:, :2]})  # fmt: skip
    lines = [f"{name},{'AB'[label]}" for name, label in zip(names, labels, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
    return folder


def probe(films, output, *more, datasets=("good",), labels="labels.csv"):
    return main(
        ["probe", *(str(films / name) for name in datasets), "--labels", str(films / labels),
         "--output", str(output), "--group_pattern", r"person\d+", *QUICK, *more]
    )  # fmt: skip


def test_films_in_and_out_of_distribution(films, tmp_path, capsys):
    assert probe(films, tmp_path / "p", "--embedding", "embedding", "--ood", str(films / "other"),
                 "--ood_labels", str(films / "labels.csv"),
                 "--learners", "linear,knn") == 0  # fmt: skip
    said = capsys.readouterr()
    assert "120 of 40 patients or groups, 5 folds" in said.out
    # The other films have the names of these: models have seen them.
    assert "WARNING: 160 units or patients of other are called like some of good" in said.err
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "curve.csv", "curve.png", "metrics.json", "predictions.csv", "report.html", "splits.json",
    ]  # fmt: skip
    metrics = json.loads((tmp_path / "p" / "metrics.json").read_text())
    assert [model["model"] for model in metrics["models"]] == ["linear", "knn"]
    assert metrics["models"][0]["on"]["good"]["metrics"]["auc"]["value"] > 0.9
    assert 0.7 < metrics["models"][0]["on"]["other"]["metrics"]["auc"]["value"] < 1
    assert metrics["data"]["good"] == {
        "units": 120, "patients": 40, "classes": {"A": 60, "B": 60},
    }  # fmt: skip
    # No patient is on both sides, by the names in the file that was written.
    for split in json.loads((tmp_path / "p" / "splits.json").read_text())["splits"]:
        train, test = ({name.split("_")[0] for name in split[part]} for part in ("train", "test"))
        assert not train & test
    found = rows_of(tmp_path / "p" / "predictions.csv")
    assert {row["dataset"] for row in found} == {"good", "other"}
    own = [row for row in found if row["model"] == "linear" and row["dataset"] == "good"]
    right = np.mean([(float(row["score_B"]) > 0.5) == (row["label"] == "B") for row in own])
    accuracy = metrics["models"][0]["on"]["good"]["metrics"]["accuracy"]["value"]
    assert right == pytest.approx(accuracy)


def test_two_datasets_and_two_embeddings_side_by_side(films, tmp_path, capsys):
    assert probe(films, tmp_path / "a", datasets=("good", "noise"), labels="labels.csv") == 0
    assert "good linear equals the full score of noise linear" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    names = [model["model"] for model in metrics["models"]]
    assert names == ["good linear", "good b linear", "noise linear"]
    gaps = {(pair["a"], pair["b"]): pair for pair in metrics["comparisons"]}
    assert gaps["good linear", "noise linear"]["differences"]["auc"]["low"] > 0
    assert gaps["good linear", "noise linear"]["labels_saved_by_a"]["factor"] > 1


def test_splits_of_an_earlier_run_and_the_seed(films, tmp_path):
    more = ["--embedding", "embedding"]
    assert probe(films, tmp_path / "a", *more, "--seed", "3") == 0
    earlier = str(tmp_path / "a" / "splits.json")
    assert probe(films, tmp_path / "b", *more, "--seed", "3", "--splits", earlier) == 0
    for name in ("predictions.csv", "curve.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert probe(films, tmp_path / "c", *more) == 0
    first, other = ((tmp_path / name / "splits.json").read_bytes() for name in "ac")
    assert first != other


def test_a_sample_where_memory_is_short(films, tmp_path, capsys):
    # 120 films of 8 numbers: 28 bytes each; half of them fit.
    assert probe(films, tmp_path / "p", "--memory_gb", "0.001") == 0
    assert "because" not in capsys.readouterr().err
    many = tmp_path / "many"
    random = np.random.default_rng(0)
    names = [f"{n % 2}/person{n}_.jpeg" for n in range(400)]
    write_films(many / "d", names, random.normal(size=(400, 200)) + (np.arange(400) % 2)[:, None])
    lines = [f"{name},{name[0]}" for name in names]
    (many / "labels.csv").write_text("\n".join(["file,label", *lines]))
    assert probe(many, tmp_path / "q", "--memory_gb", "0.001", datasets=("d",)) == 0
    sentence = "178 of 400 units are taken, of a random sample of patients, because all need more"
    assert sentence in capsys.readouterr().err
    metrics = json.loads((tmp_path / "q" / "metrics.json").read_text())
    assert metrics["data"]["d"]["units"] == 178
    assert any(sentence in note for note in metrics["notes"])


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Forty slides; one patch of ten shows the class."""
    folder = tmp_path_factory.mktemp("slides")
    random = np.random.default_rng(0)
    bags = {}
    for place in range(40):
        bags[f"s{place}"] = random.normal(size=(10 + place % 3, 5))
        bags[f"s{place}"][0] += 5 * (place % 2)
    patients = pa.array([f"p{place // 2 * 2 + place % 2}" for place in range(40)])
    items = {"slide_id": pa.array([f"s{place}" for place in range(40)]), "patient": patients}
    write_slides(folder / "d", bags, items=items)
    rows = [f"p{n},{'wm'[n % 2]},{50 - 20 * (n % 2) + n},{n % 3 > 0:d}" for n in range(40)]
    (folder / "clini.csv").write_text("\n".join(["PATIENT,KRAS,days,death", *rows]))
    (folder / "slide.csv").write_text(
        "\n".join(["PATIENT,FILENAME", *(f"p{n},features/s{n}.h5" for n in range(40))])
    )
    return folder


def slide_probe(slides, output, *more):
    return main(
        ["probe", str(slides / "d"), "--labels", str(slides / "clini.csv"), "--slide_table",
         str(slides / "slide.csv"), "--output", str(output), "--folds", "2", *QUICK, *more]
    )  # fmt: skip


def test_slides_by_patients_with_scores_of_patches(slides, tmp_path):
    assert slide_probe(slides, tmp_path / "p", "--target", "KRAS",
                       "--learners", "linear,attention") == 0  # fmt: skip
    metrics = json.loads((tmp_path / "p" / "metrics.json").read_text())
    assert [model["model"] for model in metrics["models"]] == ["linear", "attention"]
    assert metrics["data"]["d"]["patients"] == 40
    folds = {row["unit"]: row["fold"] for row in rows_of(tmp_path / "p" / "predictions.csv")
             if row["model"] == "linear"}  # fmt: skip
    patches = rows_of(tmp_path / "p" / "patch_scores-linear.csv")
    assert len(patches) == sum(10 + place % 3 for place in range(40))
    assert list(patches[0]) == ["slide_id", "x_level0", "y_level0", "fold", "score_m", "score_w"]
    # Each patch by the model that has not seen its patient; the first patch shows the class.
    assert all(row["fold"] == folds["p" + row["slide_id"][1:]] for row in patches)
    first = [float(row["score_m"]) for row in patches
             if row["x_level0"] == "0" and int(row["slide_id"][1:]) % 2]  # fmt: skip
    rest = [float(row["score_m"]) for row in patches if row["x_level0"] != "0"]
    assert np.mean(first) > np.mean(rest) + 0.3
    attended = rows_of(tmp_path / "p" / "patch_scores-attention.csv")
    assert "attention" in attended[0]


def test_survival_of_patients(slides, tmp_path):
    assert slide_probe(slides, tmp_path / "p", "--time", "days", "--event", "death",
                       "--no_patch_scores") == 0  # fmt: skip
    metrics = json.loads((tmp_path / "p" / "metrics.json").read_text())
    assert metrics["models"][0]["on"]["d"]["metrics"]["c_index"]["value"] > 0.55
    assert not (tmp_path / "p" / "patch_scores.csv").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--learners", "svm"], "--learners svm: there are linear, knn, attention"),
        (["--learners", "attention"], "--learners attention: is for slides"),
        (["--C", "0"], "must be above 0, or nested, got '0'"),
        (["--fractions", "0,200"], "each must be above 0 and at most 100"),
        (["--folds", "1"], "--folds must be between 2 and 1000, got 1"),
        (["--task", "survival"], "survival needs both --time and --event"),
        (["--time", "a", "--event", "b", "--learners", "knn"], "knn: does not do survival"),
        (["--target", "label", "--time", "a"], "--target: survival takes --time and --event"),
        (["--groups", "case"], "--groups and --group_pattern exclude each other"),
        (["--embedding", "uni"], "--embedding uni: .* has embedding, embedding_b"),
        (["--ood_labels", "x.csv"], "--ood_labels: given 1 times, --ood 0 times"),
        (["--ood", "{films}/noise", "--embedding", "embedding"], "the dataset holds no labels"),
        (["--slide_vectors"], "has no slide_embeddings.parquet"),
        (["--target", "KRAS"], "--target KRAS: .*it has file, label"),
        (["--splits", "{films}/labels.csv"], "has no columns fold_0"),
        (["--task", "regression"], "--target label: must be a number, got 'A'"),
    ],
)
def test_probe_errors(films, tmp_path, capsys, more, message):
    given = [text.format(films=films) for text in more]
    assert probe(films, tmp_path / "p", *given) == 2
    said = capsys.readouterr().err
    assert len([line for line in said.splitlines() if "beamscope probe" in line]) >= 1
    import re

    assert re.search(message, said), said


def test_another_model_out_of_distribution_errors(films, tmp_path, capsys):
    assert probe(films, tmp_path / "p", "--embedding", "embedding", "--ood", str(films / "noise"),
                 "--ood_labels", str(films / "labels.csv")) == 2  # fmt: skip
    assert "its embeddings have 9 features" in capsys.readouterr().err


def test_an_earlier_run_is_kept(films, tmp_path, capsys):
    (tmp_path / "metrics.json").write_text("{}")
    assert probe(films, tmp_path) == 2
    assert "holds an earlier run; give --overwrite" in capsys.readouterr().err
    assert (tmp_path / "metrics.json").read_text() == "{}"
    # Files of the earlier run are replaced, and those of others stay.
    (tmp_path / "patch_scores-uni.csv").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    assert probe(films, tmp_path, "--overwrite", "--target", "KRAS") == 2
    assert (tmp_path / "metrics.json").read_text() == "{}"
    assert probe(films, tmp_path, "--overwrite") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curve.csv", "curve.png", "metrics.json", "notes.txt", "predictions.csv", "report.html",
        "splits.json",
    ]  # fmt: skip


def test_the_directory_of_a_dataset_is_refused(films, capsys):
    assert probe(films, films / "good") == 2
    assert "is a dataset; give a directory of its own" in capsys.readouterr().err


def test_missing_packages_are_named(films, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda name: None if name == "sklearn" else sys
    )
    assert probe(films, tmp_path) == 2
    assert "scikit-learn not installed: pip install 'beamscope[probe]'" in capsys.readouterr().err


def test_everything_in_a_store(tmp_path, tmp_path_factory):
    names = [f"{n % 2}/person{n}_.jpeg" for n in range(20)]
    vectors = np.random.default_rng(0).normal(size=(20, 3)) + (np.arange(20) % 2)[:, None]
    write_films(tmp_path / "d", names, vectors)
    (tmp_path / "l.csv").write_text(
        "\n".join(["file,label", *(f"{name},{name[0]}" for name in names)])
    )
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        for path in [*(tmp_path / "d").rglob("*"), tmp_path / "l.csv"]:
            if path.is_file():
                place = f"{bucket}/{path.relative_to(tmp_path).as_posix()}"
                files.write_bytes(place, path.read_bytes())
        arguments = ["probe", f"{bucket}/d", "--labels", f"{bucket}/l.csv", *QUICK, "--folds", "2"]
        assert main([*arguments, "--output", f"{bucket}/p"]) == 0
        assert main([*arguments, "--output", f"{bucket}/p"]) == 2
        assert b'"task": "classification"' in files.read_bytes(f"{bucket}/p/metrics.json")
        assert b"<svg" in files.read_bytes(f"{bucket}/p/report.html")
