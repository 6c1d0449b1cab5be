import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from beamscope.transforms.probe.metrics.ranking import auc, concordance

# concordance_index of lifelines 0.30.3 for these gave the value below.
TIMES = np.array([5, 6, 6, 2.5, 4, 4, 1, 9, 3, 7.5, 2, 8])
EVENTS = np.array([1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1.0])
RISKS = np.array([0.3, -0.2, 0.3, 1.1, 0.6, -0.5, 1.7, -1.0, 0.2, 0.0, 0.6, -0.9])
LIFELINES = 0.925531914893617


def one_fold(n):
    return np.zeros(n, np.int64)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.integers(-3, 3), st.integers(0, 3)),
        min_size=4,
        max_size=40,
    )
)
def test_auc_is_that_of_scikit_learn_with_ties_and_weights(rows):
    positive, scores, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    found = auc(positive, scores, one_fold(len(rows)), weights[None])[0]
    if len(set(positive[weights > 0])) < 2:
        assert np.isnan(found)
    else:
        expected = roc_auc_score(positive, scores, sample_weight=weights)
        assert found == pytest.approx(expected)


def test_auc_of_many_weightings_and_unknown_labels():
    random = np.random.default_rng(0)
    positive = random.integers(0, 2, 50).astype(float)
    positive[[3, 17]] = np.nan
    scores = random.normal(size=50)
    weights = random.integers(0, 4, (7, 50)).astype(float)
    known = ~np.isnan(positive)
    expected = [
        roc_auc_score(positive[known], scores[known], sample_weight=row[known]) for row in weights
    ]
    np.testing.assert_allclose(auc(positive, scores, one_fold(50), weights), expected)


def test_auc_compares_pairs_of_one_fold_alone():
    # Perfect within each fold; the second fold's scores are all above the first one's.
    positive = np.array([0, 1, 0, 1.0])
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    folds = np.array([0, 0, 1, 1])
    assert auc(positive, scores, folds, np.ones((1, 4)))[0] == 1
    assert auc(positive, scores, one_fold(4), np.ones((1, 4)))[0] == 0.75


def test_the_concordance_index_is_that_of_lifelines():
    found = concordance(TIMES, EVENTS, RISKS, one_fold(12), np.ones((1, 12)))
    assert found[0] == pytest.approx(LIFELINES)


def test_the_concordance_index_of_weights_is_that_of_repeated_rows():
    random = np.random.default_rng(1)
    counts = random.integers(0, 3, 12)
    folds = np.array([0, 1] * 6)
    repeated = np.repeat(np.arange(12), counts)
    ordered = pairs = 0.0
    for i, j in itertools.permutations(repeated.tolist(), 2):
        tied_in_time = TIMES[i] == TIMES[j] and not EVENTS[j]
        if folds[i] == folds[j] and EVENTS[i] and (TIMES[i] < TIMES[j] or tied_in_time):
            pairs += 1
            ordered += (RISKS[i] > RISKS[j]) + (RISKS[i] == RISKS[j]) / 2
    found = concordance(TIMES, EVENTS, RISKS, folds, counts[None].astype(float))
    assert found[0] == pytest.approx(ordered / pairs)


def test_more_units_than_are_compared_at_a_time():
    random = np.random.default_rng(2)
    n = 700
    times, risks = random.exponential(size=n), random.normal(size=n)
    events = random.integers(0, 2, n).astype(float)
    right = pairs = 0
    for i in np.flatnonzero(events):
        later = times > times[i]
        pairs += later.sum()
        right += (risks[later] < risks[i]).sum()
    found = concordance(times, events, risks, one_fold(n), np.ones((1, n)))
    assert found[0] == pytest.approx(right / pairs)
