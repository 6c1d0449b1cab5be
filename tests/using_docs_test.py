"""Run the commands of docs/using.md."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beamscope.pipelines.main import main
from tests.dataset.samples import write_slides
from tests.shared_data import shared

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "using.md").read_text()
# Fewer draws and resamples than the page's, for time.
QUICK = ["--draws", "1", "--bootstrap", "100", "--fractions", "10,100"]


def commands(heading):
    """The arguments of the commands under a heading, in order."""
    text = PAGE.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line)
            assert program == "beamscope"
            yield arguments


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("using")

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, [1, 2])

    tf.saved_model.save(MeanColour(), str(folder / "OTHER_MODEL"))
    sizes = {f"slide{place}": 12 + place for place in range(24)}
    write_slides(folder / "SLIDES", sizes)
    lines = [f"slide{place},patient{place // 2},{place // 2 % 2}" for place in range(24)]
    (folder / "slide_labels.csv").write_text("\n".join(["slide_id,patient,KRAS", *lines]))
    inputs = {
        "PATCHES": shared("data/patches/lc25000_lung"),
        "FILMS": shared("data/xrays/kermany"),
        "MODEL": shared("models/squeezenet11-imagenet"),
    }
    for name, path in inputs.items():
        (folder / name).symlink_to(path)
    return folder


def run(arguments, places, monkeypatch):
    monkeypatch.chdir(places)
    quick = QUICK if arguments[0] == "probe" else []
    assert main([*arguments, *quick]) == 0


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def embedded(places):
    """Every command of the first two sections, in order."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for heading in ("Patches or films", "Two models, or two datasets"):
            for arguments in commands(heading):
                run(arguments, places, monkeypatch)
    return places


def test_lung_patches_give_the_figures_of_an_independent_script(embedded):
    on = metrics_of(embedded / "PROBE")["models"][0]["on"]["LUNG"]["metrics"]
    assert on["accuracy"]["value"] == pytest.approx(0.90, abs=0.02)
    assert on["auc"]["value"] == pytest.approx(0.98, abs=0.01)
    # The same folds, by pandas and scikit-learn alone.
    rows = pd.read_parquet(embedded / "LUNG" / "embeddings").set_index("image_id")
    splits = json.loads((embedded / "PROBE" / "splits.json").read_text())["splits"]
    truth, decided, aucs = [], [], []
    for split in splits:
        train, test = rows.loc[split["train"]], rows.loc[split["test"]]
        clusters = [
            {dict(row)["source_tile_cluster"] for row in some.catalog} for some in (train, test)
        ]
        assert not clusters[0] & clusters[1]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        model.fit(np.stack(train.embedding), train.label)
        scores = model.predict_proba(np.stack(test.embedding))
        aucs.append(roc_auc_score(test.label, scores, multi_class="ovr"))
        truth += test.label.tolist()
        decided += model.classes_[scores.argmax(1)].tolist()
    assert len(truth) == 846
    assert accuracy_score(truth, decided) == pytest.approx(on["accuracy"]["value"], abs=0.003)
    assert np.mean(aucs) == pytest.approx(on["auc"]["value"], abs=0.003)


def test_chest_films(embedded):
    found = metrics_of(embedded / "PROBE_CHEST")
    # 333 patients have their number in the name; each of the 400 healthy films stands for itself.
    assert found["data"]["CHEST"]["patients"] == 733
    on = found["models"][0]["on"]["CHEST"]["metrics"]
    assert on["auc"]["value"] == pytest.approx(0.99, abs=0.01)
    assert on["accuracy"]["value"] == pytest.approx(0.95, abs=0.03)


def test_a_model_against_the_mean_colour(embedded):
    found = metrics_of(embedded / "PROBE_BOTH")
    assert [model["model"] for model in found["models"]] == ["LUNG linear", "LUNG_OTHER linear"]
    (pair,) = found["comparisons"]
    assert pair["differences"]["auc"]["low"] > 0.03
    assert pair["labels_saved_by_a"]["factor"] > 3


def test_the_figures_of_the_page(embedded):
    # The page's figures are of ten draws; with all labels there is one.
    for folder, rows in (
        ("PROBE_BOTH", ("SqueezeNet", "mean colour")),
        ("PROBE_CHEST", ("SqueezeNet",)),
    ):
        models = metrics_of(embedded / folder)["models"]
        section = PAGE.split("**846 lung" if folder == "PROBE_BOTH" else "**800 chest")[1]
        for model, row in zip(models, rows, strict=True):
            line = re.search(rf"\| {row} \|.*\| (0\.\d+) \(", section)
            (on,) = model["on"].values()
            assert on["metrics"]["auc"]["value"] == pytest.approx(float(line[1]), abs=0.002)


def test_slides_and_their_heatmaps(places, monkeypatch):
    for arguments in commands("Slides"):
        run(arguments, places, monkeypatch)
    assert metrics_of(places / "PROBE_SLIDES")["data"]["SLIDES"]["patients"] == 12
    written = sorted(path.name for path in (places / "HEATMAPS").iterdir())
    assert written == sorted(f"slide{place}.geojson" for place in range(24))
    features = json.loads((places / "HEATMAPS" / "slide3.geojson").read_text())["features"]
    scores = pd.read_csv(places / "PROBE_SLIDES" / "patch_scores-attention.csv")
    own = scores[scores.slide_id == "slide3"].set_index(["x_level0", "y_level0"]).attention
    assert len(features) == len(own) == 15
    for feature in features:
        corner = tuple(np.min(feature["geometry"]["coordinates"][0], axis=0).astype(int))
        (value,) = feature["properties"]["measurements"].values()
        assert value == pytest.approx(own[corner], rel=1e-4)
