"""Attention-pooled bags: problems whose solution is known."""

import numpy as np
import pytest

from beamscope.transforms.probe.bags import Bags
from beamscope.transforms.probe.learners.attention import Attention
from beamscope.transforms.probe.learners.linear import Linear
from beamscope.transforms.probe.metrics.ranking import auc, concordance
from beamscope.transforms.probe.target import Target
from tests.probe.datasets import classes_of

FEATURES = 12


def bags_of(patches):
    counts = np.array([len(some) for some in patches])
    return Bags(np.concatenate(patches).astype(np.float32), np.cumsum(counts) - counts, counts)


def one_key_patch(n, seed):
    """Bags of 20 to 40 patches of noise; a bag of class 1 has one patch of another kind."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    patches = []
    for label in labels:
        some = random.normal(size=(random.integers(20, 41), FEATURES))
        some[0, :3] += 4 * label
        patches.append(some)
    return patches, labels


@pytest.fixture(scope="module")
def fitted():
    patches, labels = one_key_patch(160, seed=0)
    return Attention(epochs=30).fit(bags_of(patches), classes_of(labels), np.arange(160))


def scored(labels, scores):
    n = len(labels)
    return auc(labels.astype(float), scores[:, 1], np.zeros(n, np.int64), np.ones((1, n)))[0]


def test_one_patch_decides(fitted):
    patches, labels = one_key_patch(160, seed=0)
    others, truth = one_key_patch(100, seed=1)
    attention = scored(truth, fitted.scores(bags_of(others)))
    means = np.stack([some.mean(0) for some in patches])
    other_means = np.stack([some.mean(0) for some in others])
    mean = scored(truth, Linear(C=1.0).fit(means, classes_of(labels), labels).scores(other_means))
    assert attention > 0.97
    assert attention > mean + 0.05


def test_attention_points_at_that_patch(fitted):
    patches, labels = one_key_patch(60, seed=2)
    found = []
    for some, label in zip(patches, labels, strict=True):
        scores, attention = fitted.patch_scores(some)
        assert scores.shape == (len(some), 2)
        if label:
            found.append(attention.argmax() == 0)
    assert np.mean(found) > 0.9


def test_the_score_of_a_bag_does_not_depend_on_its_neighbours(fitted):
    patches, _ = one_key_patch(20, seed=3)
    together = fitted.scores(bags_of(patches))
    alone = np.concatenate([fitted.scores(bags_of([some])) for some in patches])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.sum(1) == pytest.approx(np.ones(20))


def test_some_of_the_bags(fitted):
    patches, _ = one_key_patch(6, seed=4)
    bags = bags_of(patches)
    index = np.array([4, 1])
    np.testing.assert_allclose(fitted.scores(bags[index]), fitted.scores(bags)[index], atol=1e-5)
    expected = np.concatenate([patches[4], patches[1]]).astype(np.float32)
    assert np.array_equal(bags.patches[bags[index].rows()], expected)


def test_the_seed_decides():
    patches, labels = one_key_patch(20, seed=0)
    bags, target = bags_of(patches), classes_of(labels)
    first, again, other = (
        Attention(epochs=2, seed=seed).fit(bags, target, labels).scores(bags) for seed in (0, 0, 1)
    )
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - other).max() > 1e-3


def test_other_tasks():
    random = np.random.default_rng(0)
    patches = [random.normal(size=(8, 4)) for _ in range(120)]
    for some, shift in zip(patches, random.normal(size=120), strict=True):
        some[:, 0] += 3 * shift
    signal = np.array([some[:, 0].mean() for some in patches])
    bags = bags_of(patches)

    numbers = Target("regression", 100 + 10 * signal[:, None])
    found = Attention().fit(bags, numbers, np.arange(120)).scores(bags)[:, 0]
    assert np.corrcoef(found, signal)[0, 1] > 0.9
    assert np.abs(found - numbers.values[:, 0]).mean() < 10

    labels = np.stack([signal > 0, signal < 1], axis=1).astype(float)
    labels[:40, 1] = np.nan
    found = Attention().fit(bags, Target("multilabel", labels, ("a", "b")), np.arange(120))
    scores = found.scores(bags)
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert ((scores > 0.5) == labels)[40:].mean() > 0.9

    times = np.stack([np.exp(-signal), np.ones(120)], axis=1)
    found = Attention().fit(bags, Target("survival", times), np.arange(120)).scores(bags)
    everyone = np.ones((1, 120))
    assert concordance(*times.T, found[:, 0], np.zeros(120, np.int64), everyone)[0] > 0.85
