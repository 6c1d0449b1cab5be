"""Nothing of a fold's test units may reach its model: not by scaling, not by the choice of C."""

import dataclasses

import numpy as np
import pytest

from beamscope.transforms.probe.bags import Bags
from beamscope.transforms.probe.curve import draw_fractions
from beamscope.transforms.probe.evaluation import cross_validate
from beamscope.transforms.probe.learners.attention import Attention
from beamscope.transforms.probe.learners.linear import Linear
from beamscope.transforms.probe.learners.neighbours import Neighbours
from beamscope.transforms.probe.splits.folds import make_folds
from beamscope.transforms.probe.study import Model, StudySettings, run_study
from tests.probe.datasets import blobs, classes_of, units_of


def spoiled(learner, inputs, units, folds):
    """Predictions by the first fold's model, with test units as they are and spoiled."""
    found = []
    probe = inputs[folds[0].test][:1].copy() if not isinstance(inputs, Bags) else None
    for factor in (1, 1000):
        changed = inputs.patches.copy() if isinstance(inputs, Bags) else inputs.copy()
        changed[folds[0].test] *= factor
        labels = units.target.values.copy()
        if factor != 1:
            labels[folds[0].test] = 1 - labels[folds[0].test]
        target = dataclasses.replace(units.target, values=labels)
        given = dataclasses.replace(inputs, patches=changed) if probe is None else changed
        _, models = cross_validate(
            learner, given, dataclasses.replace(units, target=target), folds[:1]
        )
        found.append(models[0].scores(inputs[folds[0].test] if probe is None else probe))
    return found


@pytest.mark.parametrize("learner", [Linear(), Linear(C=0.1), Neighbours(3)], ids=repr)
def test_features_and_labels_of_test_units_do_not_matter(learner):
    inputs, units = blobs(40, shift=0.5)
    folds = make_folds(units.target, units.groups, 4, 0)
    before, after = spoiled(learner, inputs, units, folds)
    assert np.array_equal(before, after)


def test_bags_of_test_units_do_not_matter():
    inputs, units = blobs(20, shift=0.5)
    each = np.arange(len(inputs))
    bags = Bags(inputs, each, np.ones_like(each))
    folds = make_folds(units.target, units.groups, 4, 0)
    before, after = spoiled(Attention(epochs=2), bags, units, folds)
    np.testing.assert_allclose(before, after, atol=1e-6)


def test_a_leak_would_be_seen():
    # The same check on a learner that scales with all units.
    inputs, units = blobs(40, shift=0.5)
    folds = make_folds(units.target, units.groups, 4, 0)

    class Leaky(Linear):
        def fit(self, some, target, groups):
            return super().fit(some / self.everyone.std(0), target, groups)

    found = []
    for factor in (1, 1000):
        changed = inputs.copy()
        changed[folds[0].test] *= factor
        learner = Leaky(C=0.1)
        object.__setattr__(learner, "everyone", changed)
        _, models = cross_validate(learner, changed, units, folds[:1])
        found.append(models[0].scores(inputs[folds[0].test]))
    assert not np.array_equal(*found)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 1.0])
def test_draws_of_the_curve_have_no_patient_of_the_test(fraction):
    _, units = blobs(40)
    folds = make_folds(units.target, units.groups, 4, 0)
    for draw in draw_fractions(units, folds, [fraction], draws=3, seed=0):
        for fold, train in zip(folds, draw.train, strict=True):
            assert set(train) <= set(fold.train)
            assert not set(units.groups[train]) & set(units.groups[fold.test])


def test_permuted_labels_give_an_auc_of_a_half():
    random = np.random.default_rng(0)
    values = []
    for seed in range(10):
        inputs, units = blobs(60, of_each=2, features=20, shift=2.0, seed=seed)
        # Of patients, not rows: the vectors of a patient are alike.
        labels = random.permutation(np.arange(60) % 2)[units.groups]
        permuted = units_of(classes_of(labels), units.groups)
        folds = make_folds(permuted.target, permuted.groups, 5, seed)
        models = [Model("linear", Linear(C=0.1), inputs, ())]
        settings = StudySettings(fractions=(1.0,), resamples=100)
        (result,) = run_study(models, permuted, folds, [], settings, "own")
        values.append(result.on[0].metrics["auc"].value)
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)
