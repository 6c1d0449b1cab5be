import numpy as np
import pytest

from beamscope.transforms.probe.bootstrap import interval, resampled_counts
from beamscope.transforms.probe.metrics.ranking import auc

TRIALS, PATIENTS, FILMS = 250, 40, 5


def test_resamples_draw_as_many_patients_as_there_are():
    first, *others = resampled_counts(30, 1000, seed=0, rows=90)
    assert first.tolist() == [[1.0] * 30]
    counts = np.concatenate(others)
    assert counts.shape == (1000, 30)
    assert set(counts.sum(1)) == {30.0}
    assert counts.mean(0) == pytest.approx(np.ones(30), abs=0.15)


def test_equal_seeds_give_equal_resamples_whatever_the_chunks():
    # So that models with other numbers of rows are compared on the same patients.
    small = np.concatenate([*resampled_counts(30, 50, seed=3, rows=30)])
    large = np.concatenate([*resampled_counts(30, 50, seed=3, rows=3_000_000)])
    assert np.array_equal(small, large)
    other = np.concatenate([*resampled_counts(30, 50, seed=4, rows=30)])
    assert not np.array_equal(small, other)


def test_percentiles_leave_out_resamples_without_a_value():
    found = interval(0.5, np.array([*np.linspace(0, 1, 101), np.nan]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
    assert np.isnan(interval(0.5, np.array([np.nan])).low)


def coverage(*, by_patient):
    """The share of simulated cohorts whose interval holds the true AUC.

    Films of a patient share most of their score, as films do. The true AUC is that of two normal
    distributions of total variance 1 whose means differ by 1: the normal's cdf at 1 / sqrt(2).
    """
    true = 0.7602499389
    labels = np.repeat(np.arange(PATIENTS) % 2, FILMS).astype(float)
    groups = np.repeat(np.arange(PATIENTS), FILMS) if by_patient else np.arange(PATIENTS * FILMS)
    folds = np.zeros(len(labels), np.int64)
    chunks = list(resampled_counts(groups.max() + 1, 300, seed=0, rows=len(labels)))
    counts = np.concatenate(chunks)[:, groups]
    held = 0
    for trial in range(TRIALS):
        random = np.random.default_rng([trial, 7])
        own = np.repeat(random.normal(size=PATIENTS), FILMS)
        scores = labels + np.sqrt(0.8) * own + np.sqrt(0.2) * random.normal(size=len(labels))
        values = auc(labels, scores, folds, counts)
        found = interval(values[0], values[1:])
        held += found.low <= true <= found.high
    return held / TRIALS


def test_an_interval_over_patients_holds_the_truth_in_95_of_100_cohorts():
    assert 0.90 <= coverage(by_patient=True) <= 0.99


def test_an_interval_over_rows_would_not():
    assert coverage(by_patient=False) < 0.80
