import numpy as np
import pytest

from beamscope.transforms.probe.bootstrap import interval
from beamscope.transforms.probe.compare import difference, labels_saved
from beamscope.transforms.probe.curve import Point


def curve_of(*points, noise=()):
    """Points of (labels, score); `noise` is added to every score on each resample."""
    found = []
    for labels, score in points:
        resampled = np.array([score, *(score + more for more in noise)])
        found.append(Point(labels / points[-1][0], labels, labels, 1,
                           interval(score, resampled[1:]), np.nan, resampled))  # fmt: skip
    return found


B = curve_of((10, 0.6), (100, 0.7), (1000, 0.8))


@pytest.mark.parametrize(
    ("a", "factor", "at_least"),
    [
        # Reached at a point, between two points (halfway on the logarithm), at the first, never.
        (((10, 0.7), (100, 0.8), (1000, 0.9)), 10, False),
        (((10, 0.7), (100, 0.75), (1000, 0.85)), np.sqrt(10), False),
        (((10, 0.8), (100, 0.85), (1000, 0.9)), 100, True),
        (((10, 0.5), (100, 0.6), (1000, 0.7)), None, False),
        # A curve that falls is made monotone: 0.7, then 0.75 twice.
        (((10, 0.7), (100, 0.80), (1000, 0.70)), None, False),
        # The same curve needs the same labels.
        (((10, 0.6), (100, 0.7), (1000, 0.8)), 1, False),
    ],
)
def test_the_factor_of_labels(a, factor, at_least):
    saved = labels_saved(curve_of(*a), B)
    assert saved.factor == (None if factor is None else pytest.approx(factor))
    assert saved.at_least is at_least
    assert saved.score == pytest.approx(0.8)


def test_the_labels_of_both_are_counted():
    # B trained on twice as many labels, and A has its score with 100 of them.
    b = curve_of((20, 0.6), (2000, 0.8))
    assert labels_saved(curve_of((10, 0.7), (100, 0.8), (1000, 0.9)), b).factor == pytest.approx(20)


def test_the_interval_comes_from_resamples_of_both():
    # A's curve moves by a tenth on half of the resamples, and B's score does not.
    noise = [0.05, -0.05] * 100
    a = curve_of((10, 0.7), (100, 0.8), (1000, 0.9), noise=noise)
    b = curve_of((10, 0.6), (1000, 0.8), noise=[0.0] * 200)
    saved = labels_saved(a, b)
    assert saved.factor == pytest.approx(10)
    assert (saved.low, saved.high) == pytest.approx((np.sqrt(10), 10 * np.sqrt(10)))
    assert saved.reached == 1
    # What moves both alike moves nothing: the resamples are of the same patients.
    together = labels_saved(a, curve_of((10, 0.6), (1000, 0.8), noise=noise))
    assert (together.low, together.high) == pytest.approx((10, 10))


def test_resamples_that_do_not_reach_the_score_are_told():
    noise = [0.0] * 60 + [-0.2] * 40
    saved = labels_saved(
        curve_of((10, 0.7), (1000, 0.85), noise=noise), curve_of((1000, 0.8), noise=[0.0] * 100)
    )
    assert saved.reached == 0.6
    assert saved.low == 0


@pytest.mark.parametrize(("chance", "expected"), [(0.5, False), (0.8, True), (None, False)])
def test_a_score_of_chance_is_told(chance, expected):
    b = curve_of((10, 0.6), (1000, 0.8), noise=[0.05, -0.05] * 20)
    assert labels_saved(b, b, chance).by_chance is expected


def test_differences_are_paired():
    a, b = np.array([0.9, 0.8, 1.0, np.nan]), np.array([0.8, 0.7, 1.0, 0.5])
    found = difference("auc", a, b)
    assert found.interval.value == pytest.approx(0.1)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0025, 0.0975))
    # One of two resamples is higher, in one they are equal.
    assert found.a_higher == 0.75
