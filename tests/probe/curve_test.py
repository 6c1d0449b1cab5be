import numpy as np
import pytest

from beamscope.transforms.probe.curve import draw_fractions
from beamscope.transforms.probe.learners.linear import Linear
from beamscope.transforms.probe.splits.folds import Fold, make_folds
from beamscope.transforms.probe.study import (
    Model,
    StudySettings,
    comparisons,
    models_to_fit,
    run_study,
)
from tests.probe.datasets import blobs, classes_of, units_of

SETTINGS = StudySettings(fractions=(0.03, 0.1, 0.3), draws=2, resamples=200)


def test_draws_are_of_patients_of_each_class_and_nested():
    groups = np.repeat(np.arange(100), 2)
    units = units_of(classes_of((groups >= 90).astype(int)), groups)
    fold = Fold(np.arange(200), np.arange(0))
    draws = draw_fractions(units, [fold], [0.01, 0.1, 0.5, 1.0], draws=2, seed=0)
    assert [draw.fraction for draw in draws] == [0.01, 0.01, 0.1, 0.1, 0.5, 0.5, 1.0]
    patients = [sorted(set(groups[draw.train[0]])) for draw in draws]
    # 1 % of 90 and of 10 patients: one of each class; 10 %: 9 and 1.
    assert [len(some) for some in patients] == [2, 2, 10, 10, 50, 50, 100]
    for some in patients:
        assert max(some) >= 90 > min(some)
    for place in (0, 1):
        assert set(patients[place]) < set(patients[2 + place]) < set(patients[4 + place])
    assert patients[0] != patients[1]
    # All units of a patient are taken.
    assert all(
        len(draw.train[0]) == 2 * len(some) for draw, some in zip(draws, patients, strict=True)
    )


@pytest.fixture(scope="module")
def results():
    """A good and a bad embedding of the same units, and another dataset that is shifted."""
    good, units = blobs(120, shift=1.2, seed=1)
    bad = good + 3 * np.random.default_rng(2).normal(size=good.shape)
    other, other_units = blobs(40, shift=1.2, seed=3)
    noisy = other + 2 * np.random.default_rng(4).normal(size=other.shape)
    models = [
        Model("good", Linear(C=0.1), good, (noisy,)), Model("bad", Linear(C=0.1), bad, (noisy,)),
    ]  # fmt: skip
    folds = make_folds(units.target, units.groups, 4, 0)
    calls = []
    found = run_study(models, units, folds, [("other", other_units)], SETTINGS, "own",
                      lambda: calls.append(1))  # fmt: skip
    assert len(calls) == models_to_fit(SETTINGS, 4, 2) == 2 * 4 * (3 * 2 + 1)
    return found


def test_more_labels_are_better(results):
    for result in results:
        values = [point.interval.value for point in result.on[0].curve]
        assert values[0] < values[-1]
        assert [point.fraction for point in result.on[0].curve] == [0.03, 0.1, 0.3, 1.0]
        assert [point.draws for point in result.on[0].curve] == [2, 2, 2, 1]
    good = results[0].on[0].curve
    # 120 patients of three units, three of four folds train.
    assert (good[-1].labels, good[-1].patients) == (270, 90)
    assert good[0].patients == pytest.approx(2, abs=1)
    assert all(point.interval.low < point.interval.value < point.interval.high for point in good)


def test_the_last_point_is_the_metric_with_all_labels(results):
    for result in results:
        for on in result.on:
            assert on.curve[-1].interval == on.metrics["auc"]


def test_other_datasets_are_predicted_by_the_model_of_every_fold(results):
    other = results[0].on[1]
    assert other.dataset == "other"
    assert sorted(other.predictions.units.tolist()) == sorted([*range(120)] * 4)
    assert 0.5 < other.metrics["auc"].value < results[0].on[0].metrics["auc"].value


def test_the_same_study_gives_the_same_results(results):
    good, units = blobs(120, shift=1.2, seed=1)
    folds = make_folds(units.target, units.groups, 4, 0)
    (again,) = run_study(
        [Model("good", Linear(C=0.1), good, ())], units, folds, [], SETTINGS, "own"
    )
    assert again.on[0].metrics == results[0].on[0].metrics
    assert [point.interval for point in again.on[0].curve] == [
        point.interval for point in results[0].on[0].curve
    ]


def test_a_better_embedding_saves_labels(results):
    own, other = comparisons(results, "classification")
    assert (own.a, own.b, own.dataset, other.dataset) == ("good", "bad", "own", "other")
    gap = next(one for one in own.differences if one.metric == "auc")
    expected = [result.on[0].metrics["auc"].value for result in results]
    assert gap.interval.value == pytest.approx(expected[0] - expected[1])
    assert gap.interval.low > 0
    assert gap.a_higher == 1
    assert own.saved.factor > 2
    assert own.saved.low <= own.saved.factor <= own.saved.high
    assert own.saved.reached == 1
    assert own.saved_by_b.factor is None
    assert own.saved_by_b.reached < 0.1
