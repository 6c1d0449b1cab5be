"""Every metric against scikit-learn, with weights."""

import numpy as np
import pytest
from sklearn import metrics as sk

from beamscope.transforms.probe.metrics import calibration
from beamscope.transforms.probe.metrics.table import (
    NAMES,
    TITLES,
    measure,
    predictions_that_come_true,
)
from beamscope.transforms.probe.target import Target
from tests.probe.datasets import classes_of


def probabilities(random, n, classes):
    raw = random.exponential(size=(n, classes))
    return raw / raw.sum(1, keepdims=True)


def one_fold(n):
    return np.zeros(n, np.int64)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_metrics_of_classes(classes):
    random = np.random.default_rng(classes)
    n = 120
    truth = random.integers(0, classes, n)
    scores = probabilities(random, n, classes)
    weights = random.integers(0, 3, (4, n)).astype(float)
    target = classes_of(truth, classes)
    found = measure(target, scores, one_fold(n), weights)
    assert tuple(found) == NAMES["classification"]
    decided = scores.argmax(1)
    binary = {"average": "binary"} if classes == 2 else {"average": "macro"}
    for place, row in enumerate(weights):
        auc = sk.roc_auc_score(truth, scores[:, 1] if classes == 2 else scores,
                               sample_weight=row, multi_class="ovr")  # fmt: skip
        expected = {
            "auc": auc,
            "accuracy": sk.accuracy_score(truth, decided, sample_weight=row),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, decided, sample_weight=row),
            "f1": sk.f1_score(truth, decided, sample_weight=row, **binary),
            "kappa": sk.cohen_kappa_score(truth, decided, sample_weight=row),
        }
        if classes == 2:
            expected["brier"] = sk.brier_score_loss(truth, scores[:, 1], sample_weight=row)
        for name, value in expected.items():
            assert found[name][place] == pytest.approx(value), name


def test_the_brier_score_of_three_classes_by_hand():
    target = classes_of([0, 2], 3)
    scores = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
    found = measure(target, scores, one_fold(2), np.ones((1, 2)), ["brier"])["brier"]
    first, second = 0.3**2 + 0.2**2 + 0.1**2, 0.5**2 + 0.3**2 + 0.8**2
    assert found[0] == pytest.approx((first + second) / 2)


def test_the_calibration_error_by_hand():
    true = np.array([1, 0, 1, 1.0])
    probability = np.array([0.95, 0.91, 0.35, 0.31])
    # Bin 0.9 to 1: mean 0.93, half came true; bin 0.3 to 0.4: mean 0.33, all did.
    expected = (abs(0.93 - 0.5) * 2 + abs(0.33 - 1) * 2) / 4
    found = calibration.expected_error(true, probability, np.ones((1, 4)))
    assert found[0] == pytest.approx(expected)
    low, high = calibration.bins(true, probability)
    assert (low.probability, low.share, low.predictions) == (pytest.approx(0.33), 1.0, 2)
    assert (high.probability, high.share, high.predictions) == (pytest.approx(0.93), 0.5, 2)


def test_a_calibrated_model_has_a_small_error():
    random = np.random.default_rng(0)
    probability = random.random(20_000)
    true = (random.random(20_000) < probability).astype(float)
    assert calibration.expected_error(true, probability, np.ones((1, 20_000)))[0] < 0.02
    assert calibration.expected_error(true, probability**3, np.ones((1, 20_000)))[0] > 0.1


def test_several_labels_are_averaged_without_what_is_unknown():
    random = np.random.default_rng(3)
    values = random.integers(0, 2, (60, 3)).astype(float)
    values[:20, 1] = np.nan
    scores = random.random((60, 3))
    found = measure(Target("multilabel", values, ("a", "b", "c")), scores, one_fold(60),
                    np.ones((1, 60)))  # fmt: skip
    assert tuple(found) == NAMES["multilabel"]
    aucs, kappas = [], []
    for truth, score in zip(values.T, scores.T, strict=True):
        known = ~np.isnan(truth)
        aucs.append(sk.roc_auc_score(truth[known], score[known]))
        kappas.append(sk.cohen_kappa_score(truth[known], score[known] > 0.5))
    assert found["auc"][0] == pytest.approx(np.mean(aucs))
    assert found["kappa"][0] == pytest.approx(np.mean(kappas))


def test_metrics_of_numbers():
    random = np.random.default_rng(4)
    truth, predicted = random.normal(size=(2, 40))
    predicted += truth
    weights = random.integers(0, 3, (3, 40)).astype(float)
    found = measure(Target("regression", truth[:, None]), predicted[:, None], one_fold(40), weights)
    assert tuple(found) == NAMES["regression"]
    for place, row in enumerate(weights):
        assert found["r2"][place] == pytest.approx(sk.r2_score(truth, predicted, sample_weight=row))
        assert found["mae"][place] == pytest.approx(
            sk.mean_absolute_error(truth, predicted, sample_weight=row)
        )
        covariance = np.cov(truth, predicted, fweights=row.astype(int))
        correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert found["pearson"][place] == pytest.approx(correlation)


def test_every_metric_has_a_title():
    assert {name for names in NAMES.values() for name in names} <= set(TITLES)


def test_what_calibration_compares():
    two = classes_of([0, 1])
    true, probability = predictions_that_come_true(two, np.array([[0.3, 0.7], [0.4, 0.6]]))
    assert (true.tolist(), probability.tolist()) == ([0, 1], [0.7, 0.6])
    three = classes_of([2, 1], 3)
    scores = np.array([[0.1, 0.1, 0.8], [0.5, 0.3, 0.2]])
    true, probability = predictions_that_come_true(three, scores)
    assert (true.tolist(), probability.tolist()) == ([1, 0], [0.8, 0.5])
