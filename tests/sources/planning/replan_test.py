import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.problems import Problem
from beamscope.transforms.sources.archives.members import Member
from beamscope.transforms.sources.planning.plan import SourcePlan, block_sizes
from beamscope.transforms.sources.planning.replan import replan, same_blocks
from beamscope.transforms.sources.sources import Source

FOLDER = Source("films", "/films", "directory")
SIZE = 4


def films(**sizes):
    return tuple(Member(0, name, size, size) for name, size in sorted(sizes.items()))


def fresh(members, source=FOLDER):
    return SourcePlan(source, members, block_sizes(len(members), SIZE))


def names(plan):
    return ["".join(member.name for member in block.members) for block in plan.blocks()]


TEN = dict.fromkeys("bdfhjlnprt", 10)
OLD = fresh(films(**TEN))  # bdfh jlnp rt


def test_the_blocks_before():
    assert names(OLD) == ["bdfh", "jlnp", "rt"]


@pytest.mark.parametrize(
    ("change", "blocks", "kept"),
    [
        ({}, ["bdfh", "jlnp", "rt"], {0, 1, 2}),
        # One more is a block of its own, wherever its name belongs.
        ({"a": 1}, ["bdfh", "jlnp", "rt", "a"], {0, 1, 2}),
        ({"z": 1}, ["bdfh", "jlnp", "rt", "z"], {0, 1, 2}),
        (dict.fromkeys("acegikm", 1), ["bdfh", "jlnp", "rt", "ace", "gikm"], {0, 1, 2}),
        # One less, or another size: its block is made again, with what is left.
        ({"d": None}, ["bfh", "jlnp", "rt"], {1, 2}),
        ({"l": 11}, ["bdfh", "jlnp", "rt"], {0, 2}),
        ({"l": None, "a": 1}, ["bdfh", "ajnp", "rt"], {0, 2}),
        ({"l": 11, "a": 1}, ["bdfh", "aj", "rt", "lnp"], {0, 2}),
        ({"t": None, "r": None}, ["bdfh", "jlnp"], {0, 1}),
        # A block of which nothing is left: the last one takes its place.
        (dict.fromkeys("bdfh"), ["rt", "jlnp"], {1}),
        (dict.fromkeys("jlnp"), ["bdfh", "rt"], {0}),
        (dict.fromkeys("bdfhjlnp"), ["rt"], set()),
        ({**dict.fromkeys("bdfh"), "a": 1}, ["a", "jlnp", "rt"], {1, 2}),
        (dict.fromkeys("bdfhjlnprt"), [], set()),
    ],
)
def test_films_that_are_the_same_stay_in_their_blocks(change, blocks, kept):
    now = {name: size for name, size in (TEN | change).items() if size is not None}
    found = replan(OLD, fresh(films(**now)), SIZE)
    assert names(found) == blocks
    assert same_blocks(OLD, found) == kept


def test_what_is_wrong_with_the_source_is_as_it_is_now():
    problem = Problem("films/x", "/films", "plan", "link_member", "", member="x")
    now = dataclasses.replace(fresh(films(**TEN)), problems=(problem,), skipped={"clutter": 1})
    assert replan(dataclasses.replace(OLD, skipped={"clutter": 9}), now, SIZE) == now


@pytest.mark.parametrize("change", [{"kind": "zip"}, {"kind": "tgz"}, {"uri": "/others"}])
def test_nothing_is_kept_of_archives_and_of_another_place(change):
    now = fresh(films(**TEN), dataclasses.replace(FOLDER, **change))
    assert replan(OLD, now, SIZE) is now
    assert same_blocks(OLD, now) == set()
    if "kind" in change:
        # A member of an archive may be another by the same name and size.
        assert replan(now, now, SIZE) is now
        assert same_blocks(now, now) == set()


def test_without_an_earlier_plan_it_is_the_plan_itself():
    assert replan(None, OLD, SIZE) is OLD
    assert same_blocks(None, OLD) == set()


_FOLDER = st.dictionaries(st.sampled_from("abcdefghijklmnopqrst"), st.integers(1, 2))


@given(st.lists(_FOLDER, min_size=2, max_size=5), st.integers(1, 5))
def test_every_film_is_planned_once_through_any_changes(folders, size):
    plan = None
    for folder in folders:
        now = SourcePlan(FOLDER, films(**folder), block_sizes(len(folder), size))
        found = replan(plan, now, size)
        assert sorted(found.members, key=lambda m: m.name) == list(now.members)
        assert sum(found.block_sizes) == len(now.members)
        assert all(1 <= count <= size for count in found.block_sizes)
        if plan is not None:
            before, after, kept = names(plan), names(found), same_blocks(plan, found)
            assert all(before[index] == after[index] for index in kept)
            # Films that are the same are read again only beside others that are not, or once for
            # each block that is gone.
            same = {
                index
                for index, block in enumerate(plan.blocks())
                if all(member in now.members for member in block.members)
            }
            assert kept <= same
            assert len(same - kept) <= len(before) - len(same)
        plan = found
