"""Shares: disjoint, everything together, balanced, and the same every time."""

import collections
import math

import pytest

from beamscope.transforms.output.leases.lease_file import EVERYTHING
from beamscope.transforms.output.share import Share, exclude_each_other, share_of_slot


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_shares_are_disjoint_and_together_everything(count):
    names = [f"slide-{number}" for number in range(5_000)]
    shares = [Share(number, count) for number in range(1, count + 1)]
    sizes = collections.Counter()
    for name in names:
        (taker,) = [share for share in shares if share.takes(name)]
        sizes[taker.number] += 1
    expected = len(names) / count
    assert all(abs(size - expected) < 5 * math.sqrt(expected) for size in sizes.values())


def test_a_share_never_changes():
    # Written down: tasks of two versions must not share differently.
    taken = [number for number in range(20) if Share(2, 3).takes(str(number))]
    assert taken == [1, 2, 3, 4, 11, 14, 18, 19]


@pytest.mark.parametrize(
    ("slot", "other", "excluded"),
    [
        (EVERYTHING, EVERYTHING, False),  # one slot has one holder anyway
        (EVERYTHING, "part-1-of-2", True),
        ("part-1-of-2", EVERYTHING, True),
        ("part-1-of-2", "part-2-of-2", False),
        ("part-1-of-2", "part-2-of-3", True),
        ("part-1-of-2", "something", False),
    ],
)
def test_exclude_each_other(slot, other, excluded):
    assert exclude_each_other(slot, other, EVERYTHING) is excluded


def test_a_slot_names_its_share():
    assert share_of_slot(Share(3, 12).slot) == Share(3, 12)
    assert share_of_slot(EVERYTHING) is None
