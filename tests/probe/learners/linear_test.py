import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beamscope.transforms.probe.learners.linear import FALLBACK_C, GRID, Linear
from beamscope.transforms.probe.target import Target
from tests.probe.datasets import blobs, classes_of
from tests.probe.metrics.ranking_test import EVENTS, TIMES


def vectors(n, features, seed=0):
    # One feature never changes: it must not become NaN.
    found = np.random.default_rng(seed).normal(size=(n, features)) * [10, *[1] * (features - 1)]
    found[:, -1] = 3.0
    return found.astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(classes):
    inputs = vectors(90, 6)
    truth = (inputs[:, 1] * 2 + np.random.default_rng(1).normal(size=90) > 0).astype(int)
    truth[: 10 * (classes - 2)] = 2
    target = classes_of(truth, classes)
    fitted = Linear(C=0.1).fit(inputs, target, np.arange(90))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=5000))
    expected = pipeline.fit(inputs.astype(float), truth).predict_proba(inputs.astype(float))
    np.testing.assert_allclose(fitted.scores(inputs), expected, atol=2e-3)
    assert fitted.chosen == {"C": 0.1}


def test_ridge_regression_is_that_of_scikit_learn():
    inputs = vectors(50, 4)
    truth = inputs[:, :1] + 5.0
    fitted = Linear(C=0.5).fit(inputs, Target("regression", truth), np.arange(50))
    pipeline = make_pipeline(StandardScaler(), Ridge(alpha=2)).fit(inputs, truth[:, 0])
    np.testing.assert_allclose(fitted.scores(inputs)[:, 0], pipeline.predict(inputs), rtol=1e-4)


def test_cox_is_that_of_lifelines():
    # CoxPHFitter of lifelines 0.30.3, without a penalty, gives these coefficients for x1 and x2.
    x1 = [0.5, -1.0, 0.2, 1.5, 0.1, -0.3, 2.0, -1.2, 0.7, -0.4, 0.9, -0.8]
    x2 = [1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0]
    inputs = np.stack([x1, x2], axis=1)
    target = Target("survival", np.stack([TIMES, EVENTS], axis=1))
    fitted = Linear(C=1e6).fit(inputs, target, np.arange(12))
    expected = inputs @ [5.468545739803064, 0.5079632296115864]
    found = fitted.scores(inputs)[:, 0]
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=0.02)


def test_cox_with_more_features_than_patients():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(40, 200))
    times = np.exp(-2 * inputs[:, 0] + 0.1 * random.normal(size=40))
    target = Target("survival", np.stack([times, np.ones(40)], axis=1))
    risks = Linear(C=1.0).fit(inputs, target, np.arange(40)).scores(inputs)[:, 0]
    assert np.corrcoef(risks, -np.log(times))[0, 1] > 0.8


def test_several_labels_are_fitted_without_what_is_unknown():
    inputs = vectors(60, 3)
    values = np.stack([inputs[:, 0] > 0, inputs[:, 1] > 0, np.zeros(60)], axis=1).astype(float)
    values[:30, 1] = np.nan
    target = Target("multilabel", values, ("a", "b", "never"))
    scores = Linear(C=1.0).fit(inputs, target, np.arange(60)).scores(inputs)
    # Scaled by all units, and fitted to those whose label is known.
    scaled = StandardScaler().fit_transform(inputs.astype(float))
    alone = LogisticRegression(C=1.0, tol=1e-8).fit(scaled[30:], values[30:, 1])
    np.testing.assert_allclose(scores[:, 1], alone.predict_proba(scaled)[:, 1], atol=2e-3)
    assert (scores[:, 2] == 0).all()


def test_a_class_that_does_not_train_has_probability_0():
    inputs = vectors(40, 3)
    fitted = Linear(C=0.1).fit(inputs, classes_of(np.arange(40) % 2 * 2, 3), np.arange(40))
    scores = fitted.scores(inputs)
    assert (scores[:, 1] == 0).all()
    assert scores.sum(1) == pytest.approx(np.ones(40))
    alone = Linear(C=0.1).fit(inputs, classes_of([1] * 40, 3), np.arange(40))
    assert alone.scores(inputs)[:2].tolist() == [[0, 1, 0], [0, 1, 0]]


def test_c_is_chosen_on_patients_that_did_not_train():
    # All but the first feature tell patients apart and say nothing of their label. A weak penalty
    # learns the patients by heart, which helps for other rows of theirs, and harms for others.
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 4)
    labels = groups % 2
    own = random.normal(size=(60, 100))[groups]
    shared = (labels + random.normal(size=240))[:, None]
    inputs = np.concatenate([shared, own], axis=1)
    by_patient = Linear().fit(inputs, classes_of(labels), groups)
    by_row = Linear().fit(inputs, classes_of(labels), np.arange(240))
    assert by_patient.chosen["C_chosen"] == by_row.chosen["C_chosen"] == 1
    assert by_patient.chosen["C"] < by_row.chosen["C"]
    assert {by_patient.chosen["C"], by_row.chosen["C"]} <= set(GRID)


def test_with_too_few_patients_c_is_fixed():
    inputs, units = blobs(2)
    fitted = Linear().fit(inputs, units.target, units.groups)
    assert fitted.chosen == {"C": FALLBACK_C, "C_chosen": 0.0}
