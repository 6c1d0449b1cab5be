import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.probe.splits.folds import make_folds
from beamscope.transforms.probe.target import Target
from beamscope.transforms.problems import InputError
from tests.probe.datasets import classes_of


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 60), st.integers(2, 5), st.integers(0, 3))
def test_each_unit_tests_once_and_patients_stay_together(patients, folds, seed):
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), random.integers(1, 4, patients))
    target = classes_of(groups % 2)
    found = make_folds(target, groups, folds, seed)
    tested = np.concatenate([fold.test for fold in found])
    assert sorted(tested) == list(range(len(groups)))
    for fold in found:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert sorted([*fold.train, *fold.test]) == list(range(len(groups)))
        assert set(target.values[fold.train, 0]) == {0, 1}


def test_classes_are_spread_evenly():
    groups = np.arange(100)
    labels = (np.arange(100) >= 80).astype(int)
    for fold in make_folds(classes_of(labels), groups, 5, seed=1):
        assert labels[fold.test].sum() == 4


def test_the_seed_decides():
    target, groups = classes_of(np.arange(40) % 2), np.arange(40)
    first = make_folds(target, groups, 4, seed=0)
    again = make_folds(target, groups, 4, seed=0)
    other = make_folds(target, groups, 4, seed=1)
    assert all(np.array_equal(a.test, b.test) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "target",
    [
        Target("regression", np.linspace(0, 1, 40).reshape(-1, 1)),
        Target("survival", np.stack([np.arange(1, 41.0), np.arange(40) % 2], axis=1)),
        Target("multilabel", np.eye(4)[np.arange(40) % 4], ("a", "b", "c", "d")),
    ],
    ids=lambda target: target.task,
)
def test_other_tasks_are_stratified_too(target):
    strata = target.strata()
    for fold in make_folds(target, np.arange(40), 5, seed=0):
        counts = np.bincount(strata[fold.test], minlength=strata.max() + 1)
        spread = np.bincount(strata) / 5
        assert np.abs(counts - spread).max() <= 1


def test_the_stratum_of_several_labels_is_the_rarest_that_is_present():
    values = np.array([[1, 1], [1, 0], [1, 0], [0, 0], [np.nan, 1.0]])
    assert Target("multilabel", values, ("often", "rare")).strata().tolist() == [2, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("labels", "groups", "folds", "message"),
    [
        ([0] * 9 + [1], range(10), 5, "occurs in only 1 patients or groups; it needs two or more"),
        ([0] * 6 + [1] * 6, [0] * 6 + [1, 1, 1, 2, 2, 2], 3, "in only 1 patients"),
        ([0, 1] * 4, range(8), 5, "in only 4 patients or groups; give --folds 4, or fewer"),
    ],
)
def test_folds_errors(labels, groups, folds, message):
    with pytest.raises(InputError, match=message):
        make_folds(classes_of(labels), np.array(groups), folds, 0)
