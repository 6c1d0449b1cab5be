"""Where a sample in total ends: exact, with the same chance for each patch, whatever the order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.patches.sampling import Sample, place_keys
from beamscope.transforms.patches.total import (
    BINS,
    SampleEnd,
    count_bins,
    last_bin,
    read_end,
    write_end,
)


def grid_keys(n):
    """The keys of n places, 50 in a row."""
    return place_keys(np.arange(n) % 50 * 224, np.arange(n) // 50 * 224)


def end_of(hashes, total, order=None):
    """Where a sample of items ends, by the steps that the job takes."""
    counts = np.zeros(BINS, np.int64)
    for item in order or hashes:
        bins, found = count_bins(hashes[item])
        counts[bins] += found
    last = last_bin(counts, total)
    if last is None:
        return SampleEnd()
    return last.end([(item, last.hashes(hashes[item])) for item in order or hashes])


def taken_of(sizes, total, seed=0, order=None):
    """The places that are taken of items with some numbers of patches."""
    sample = Sample(total=total, seed=seed)
    hashes = {item: sample.hashes(item, grid_keys(n)) for item, n in sizes.items()}
    end = end_of(hashes, total, order)
    return {(item, int(i)) for item in sizes for i in end.taken(item, hashes[item])}


sizes_of_items = st.dictionaries(st.text(max_size=3), st.integers(0, 400), min_size=1, max_size=12)


@settings(deadline=None)
@given(sizes_of_items, st.integers(1, 3000), st.integers(0, 2**63 - 1), st.randoms())
def test_exactly_n_or_all_in_any_order_inside_a_larger_one(sizes, total, seed, random):
    taken = taken_of(sizes, total, seed)
    assert len(taken) == min(total, sum(sizes.values()))
    order = list(sizes)
    random.shuffle(order)
    assert taken_of(sizes, total, seed, order) == taken
    assert taken <= taken_of(sizes, total + 7, seed)


def test_they_are_the_smallest_hashes_of_all():
    sizes = {"a": 3000, "b": 1, "c": 20_000}
    sample = Sample(total=777, seed=5)
    everything = sorted(
        (int(one), item, place)
        for item, n in sizes.items()
        for place, one in enumerate(sample.hashes(item, grid_keys(n)))
    )
    assert taken_of(sizes, 777, 5) == {(item, place) for _, item, place in everything[:777]}


def test_seeds_give_other_samples_and_the_same_seed_the_same():
    sizes = {"a": 300, "b": 500}
    assert taken_of(sizes, 90) == taken_of(sizes, 90)
    assert taken_of(sizes, 90) != taken_of(sizes, 90, 1)


def test_the_sample_of_a_seed_stays_the_same_for_ever():
    assert sorted(taken_of({"slide": 40, "other": 60}, 6, 8)) == [
        ("other", 12), ("other", 21), ("other", 24), ("other", 30), ("other", 42), ("slide", 19),
    ]  # fmt: skip


def test_every_patch_has_the_same_chance():
    sizes, total, draws = {"a": 30, "b": 5, "c": 65}, 20, 2000
    counts = {(item, place): 0 for item, n in sizes.items() for place in range(n)}
    shares = []
    for seed in range(draws):
        taken = taken_of(sizes, total, seed)
        for one in taken:
            counts[one] += 1
        shares.append(sum(item == "a" for item, _ in taken))
    chance = total / len(counts)
    seen = np.array(list(counts.values()), float)
    # Of draws without replacement, the statistic has this factor (n - 1 degrees of freedom).
    spread = draws * chance * (1 - chance) * len(seen) / (len(seen) - 1)
    statistic = ((seen - draws * chance) ** 2).sum() / spread
    assert chi2.ppf(1e-4, len(seen) - 1) < statistic < chi2.ppf(1 - 1e-4, len(seen) - 1)
    # How many an item gives is hypergeometric: 30 of 100 patches, 20 drawn.
    variance = total * 0.3 * 0.7 * 80 / 99
    assert abs(np.mean(shares) - total * 0.3) < 4.5 * np.sqrt(variance / draws)
    assert 0.85 < np.var(shares) / variance < 1.15


def test_equal_hashes_of_two_items_are_taken_by_their_ids():
    tie = np.uint64(7 << 48)
    hashes = {item: np.array([tie, tie + np.uint64(1)]) for item in ("c", "a", "b")}
    for total, expected in ((1, "a"), (2, "ab"), (3, "abc")):
        end = end_of(hashes, total)
        assert end == SampleEnd(int(tie), expected[-1])
        assert {item: end.taken(item, hashes[item]).tolist() for item in "abc"} == {
            item: [0] if item in expected else [] for item in "abc"
        }


@pytest.mark.parametrize("hashes", [[0, 1, 2], [2**64 - 1, 2**64 - 2, 2**64 - 3]])
def test_the_first_and_the_last_bin(hashes):
    found = {"a": np.array(hashes, np.uint64)}
    for total in (1, 2):
        assert end_of(found, total) == SampleEnd(sorted(hashes)[total - 1], "a")
    assert end_of(found, 3) == SampleEnd()


def test_where_a_sample_ends_is_a_file_with_a_checksum(tmp_path):
    path = tmp_path / "sample.json"
    assert read_end(str(path)) is None
    for end in (SampleEnd(), SampleEnd(2**64 - 1, "ä/b")):
        write_end(str(path), end)
        assert read_end(str(path)) == end
    path.write_text(path.read_text().replace("18446744073709551615", "18446744073709551614"))
    with pytest.raises(DamagedError):
        read_end(str(path))
