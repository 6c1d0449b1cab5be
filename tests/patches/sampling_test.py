import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.patches.sampling import Sample, name_keys, place_keys


def keys(n, step=224):
    x, y = np.meshgrid(np.arange(n) * step, np.arange(n) * step)
    return place_keys(x.ravel(), y.ravel())


def test_places_have_different_keys():
    assert len(np.unique(keys(100))) == 10_000
    found = place_keys(np.array([-1, 0]), np.array([0, -1]))
    assert found.tolist() == [0xFFFFFFFF << 32, 0xFFFFFFFF]
    assert len(set(name_keys([f"a/{i}.png" for i in range(1000)]).tolist())) == 1000


def test_all_are_taken_without_a_size_and_of_few():
    np.testing.assert_array_equal(Sample().chosen("a", keys(3)), np.arange(9))
    np.testing.assert_array_equal(Sample(9).chosen("a", keys(3)), np.arange(9))


@given(st.integers(1, 200), st.integers(0, 2**63 - 1), st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_order_and_grows(size, seed, random):
    all_keys = keys(12)
    order = list(range(len(all_keys)))
    random.shuffle(order)
    taken = Sample(size, seed).chosen("a", all_keys)
    assert len(taken) == min(size, len(all_keys))
    assert (np.diff(taken) > 0).all()
    shuffled = Sample(size, seed).chosen("a", all_keys[order])
    assert set(all_keys[order][shuffled]) == set(all_keys[taken])
    larger = Sample(size + 5, seed).chosen("a", all_keys)
    assert set(taken) <= set(larger)


def test_seeds_and_items_give_other_samples():
    one = Sample(50).chosen("a", keys(30))
    assert not np.array_equal(one, Sample(50, 1).chosen("a", keys(30)))
    assert not np.array_equal(one, Sample(50).chosen("b", keys(30)))
    np.testing.assert_array_equal(one, Sample(50).chosen("a", keys(30)))


def test_every_place_has_the_same_chance():
    n, size, draws = 12, 36, 800
    counts = np.zeros(n * n)
    for seed in range(draws):
        counts[Sample(size, seed).chosen("a", keys(n))] += 1
    expected = draws * size / (n * n)
    spread = np.sqrt(expected * (1 - size / (n * n)))
    # 144 places: beyond five deviations by chance once in ten thousand such tests.
    assert np.abs(counts - expected).max() < 5 * spread
    rows = counts.reshape(n, n)
    assert rows.sum(0).std() < 4 * spread * np.sqrt(n)
    assert rows.sum(1).std() < 4 * spread * np.sqrt(n)


def test_the_sample_of_a_seed_stays_the_same_for_ever():
    taken = Sample(6, 7).chosen("slide", keys(10))
    assert taken.tolist() == [3, 40, 50, 67, 75, 99]


@pytest.mark.parametrize("size", [1, 5])
def test_one_row_is_enough(size):
    assert Sample(size).chosen("a", keys(1)).tolist() == [0]
