"""The page and the pictures of a study, of each task."""

import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.probe.bootstrap import Interval
from beamscope.transforms.probe.compare import Saved
from beamscope.transforms.probe.curve import Point
from beamscope.transforms.probe.findings.figures import _ticks, draw_calibration, draw_curves
from beamscope.transforms.probe.findings.found import Findings
from beamscope.transforms.probe.findings.page import saved_sentence, write_page
from beamscope.transforms.probe.findings.tables import (
    write_curve,
    write_metrics,
    write_predictions,
)
from beamscope.transforms.probe.learners.linear import Linear
from beamscope.transforms.probe.metrics.table import NAMES, TITLES
from beamscope.transforms.probe.splits.folds import make_folds
from beamscope.transforms.probe.study import Model, StudySettings, comparisons, run_study
from beamscope.transforms.probe.target import Target
from tests.probe.datasets import blobs, units_of


def target_of(task, vectors):
    random = np.random.default_rng(1)
    signal = vectors[:, 0]
    if task == "classification":
        return Target(task, (signal > 0).astype(float)[:, None], ("<wild type>", "mutated"))
    if task == "multilabel":
        values = np.stack([signal > 0, vectors[:, 1] > 1], axis=1).astype(float)
        values[0, 1] = np.nan
        return Target(task, values, ("Edema", "Fracture"))
    if task == "regression":
        return Target(task, signal[:, None].astype(float))
    return Target(task, np.stack([np.exp(-signal), random.integers(0, 2, len(signal))], axis=1))


@pytest.fixture(scope="module", params=NAMES)
def found(request):
    inputs, units = blobs(40)
    units = units_of(target_of(request.param, inputs), units.groups)
    models = [Model(name, Linear(C=0.1), inputs * scale, (inputs,)) for name, scale in
              (("A & B", [1] * 8), ("raw", [0, 0, 0, 0, 1, 1, 1, 1]))]  # fmt: skip
    folds = make_folds(units.target, units.groups, 3, 0)
    settings = StudySettings((0.3,), draws=2, resamples=100)
    results = run_study(models, units, folds, [("elsewhere", units)], settings, "own")
    return Findings(
        (units, units), folds, results, list(comparisons(results, request.param)), ["own"],
        {"seed": 0}, {"own": {"target": "KRAS <b>", "unit": "slide_id", "groups": "case_id"}},
        ["one & only"],
    )  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Collects text and addresses; raises where tags are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_stands_alone(found, tmp_path):
    write_page(str(tmp_path / "report.html"), found)
    text = (tmp_path / "report.html").read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    # Only places within the page: nothing is fetched.
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"|url\(([^)]*)\)", text)
    assert all(one.startswith("#") for pair in addresses for one in pair if one)
    assert "<script" not in text
    shown = " ".join(reader.text)
    assert "KRAS <b> from the embeddings of own" in shown
    assert "one & only" in shown
    task = found.units[0].target.task
    for name in NAMES[task]:
        assert TITLES[name] in shown
    value = found.results[0].on[1].metrics[NAMES[task][0]].value
    assert f"{value:.3f}" in shown
    assert ("Calibration" in shown) == (task in ("classification", "multilabel"))
    assert ("Each label" in shown) == (task == "multilabel")


def test_pictures(found):
    for form in ("svg", "png"):
        assert draw_curves(found, form) == draw_curves(found, form)
    picture = Image.open(io.BytesIO(draw_curves(found, "png")))
    assert picture.width > 1000
    text = draw_curves(found).decode()
    assert "elsewhere, out of distribution" in text
    calibration = draw_calibration(found)
    assert (calibration is None) == (found.units[0].target.task in ("regression", "survival"))


def test_ticks_stand_apart():
    labels = [8.0, 8.4, 26.0, 30.0, 240.0]
    points = [
        Point(place / 5, one, one, 1, Interval(0.5, 0.4, 0.6), 0.0, np.zeros(1))
        for place, one in enumerate(labels)
    ]
    assert [point.labels for point in _ticks(points)] == [8.4, 30.0, 240.0]


def test_tables(found, tmp_path):
    write_metrics(str(tmp_path / "metrics.json"), found)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    task = found.units[0].target.task
    assert metrics["task"] == task
    assert [model["model"] for model in metrics["models"]] == ["A & B", "raw"]
    on = metrics["models"][0]["on"]["own"]
    assert set(on["metrics"]) == set(NAMES[task])
    assert set(on["metrics"][NAMES[task][0]]) == {"value", "low", "high"}
    assert len(on["curve"]) == 2
    assert metrics["data"]["own"]["units"] == 120
    assert len(metrics["comparisons"]) == 2

    write_predictions(str(tmp_path / "predictions.csv"), found)
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    # Two models; each unit tests once in its own dataset, and three times in the other one.
    assert len(lines) == 1 + 2 * 120 * (1 + 3)
    heads = {
        "classification": "label,score_<wild type>,score_mutated",
        "multilabel": "label_Edema,label_Fracture,score_Edema,score_Fracture",
        "regression": "label,predicted",
        "survival": "time,event,risk",
    }
    assert lines[0] == f"model,dataset,fold,unit,{heads[task]}"

    write_curve(str(tmp_path / "curve.csv"), found)
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1 + 2 * 2 * 2


SAVED = Saved(7.0, 3.0, 12.0, False, False, 1.0, 0.9, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "A equals the full score of B (0.900) with 1/7.0 of the labels "
             "(95 % interval: 1/3.0 to 1/12)."),
        ({"at_least": True, "high_at_least": True, "by_chance": True},
         "A equals the full score of B (0.900, which is no better than chance) with 1/7.0 or fewer "
         "of the labels (95 % interval: 1/3.0 to 1/12 or fewer)."),
        ({"factor": 1.0, "low": 0.0}, "A equals the full score of B (0.900) with all of the labels "
                                      "(95 % interval: more than all to 1/12)."),
        ({"factor": None, "reached": 0.25}, "A does not reach the full score of B (0.900) with all "
                                            "of its labels (it does in 25% of the resamples)."),
    ],
)  # fmt: skip
def test_what_a_factor_says(changes, expected):
    import dataclasses

    assert saved_sentence("A", "B", dataclasses.replace(SAVED, **changes)) == expected
