import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from beamscope.transforms.probe.learners.neighbours import Neighbours
from beamscope.transforms.probe.target import Target
from tests.probe.datasets import classes_of


def test_neighbours_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(150, 5))
    truth = random.integers(0, 3, 150)
    fitted = Neighbours(k=7).fit(inputs[:100], classes_of(truth[:100], 3), np.arange(100))
    scaler = StandardScaler().fit(inputs[:100])
    search = KNeighborsClassifier(7, metric="cosine").fit(
        scaler.transform(inputs[:100]), truth[:100]
    )
    expected = search.predict_proba(scaler.transform(inputs[100:]))
    np.testing.assert_allclose(fitted.scores(inputs[100:]), expected)


def test_few_units_have_few_neighbours():
    inputs = np.eye(9)
    fitted = Neighbours(k=10).fit(
        inputs, Target("regression", np.arange(9.0)[:, None]), np.arange(9)
    )
    assert fitted.chosen == {"k": 3.0}


def test_unknown_labels_do_not_count():
    inputs = np.array([[1, 0.1], [1, 0.0], [1, 0.2], [-1, 5.0]])
    values = np.array([[1.0, np.nan], [0, np.nan], [np.nan, np.nan], [0, 1]])
    fitted = Neighbours(k=2).fit(inputs, Target("multilabel", values, ("a", "b")), np.arange(4))
    scores = fitted.scores(np.array([[1, 0.05]]))
    # Neighbours 0 and 1: one of two has a, and b is known of neither.
    assert scores.tolist() == [[0.5, 0.0]]
