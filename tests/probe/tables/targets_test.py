import numpy as np
import pytest

from beamscope.transforms.probe.tables.targets import Policy, guess_task, make_target
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("cells", "survival", "expected"),
    [
        ([["a", "b", None]], False, "classification"),
        ([["0", "1.0", "-1"]], False, "classification"),
        ([["0.5", "1.5"]], False, "regression"),
        ([[str(number) for number in range(50)]], False, "regression"),
        ([["1", "0"], ["0", "1"]], False, "multilabel"),
        ([["1", "0"], ["3.5", "1"]], True, "survival"),
    ],
)
def test_the_task_is_guessed(cells, survival, expected):
    assert guess_task(cells, survival=survival) == expected


def test_classes_are_sorted_and_blanks_left_out():
    target, kept = make_target(
        "classification", ["g"], [["10", None, "9", "9.0", "wild type"]], Policy()
    )
    assert target.classes == ("9", "10", "wild type")
    assert kept == [0, 2, 3, 4]
    assert target.values[:, 0].tolist() == [1, 0, 0, 2]


def test_classes_of_another_dataset_are_kept():
    target, kept = make_target(
        "classification", ["g"], [["b", "c", "a"]], Policy(), classes=["a", "b"]
    )
    assert (target.classes, kept, target.values[:, 0].tolist()) == (("a", "b"), [0, 2], [1, 0])


# CheXpert's: 1 present, 0 absent, -1 uncertain, blank not mentioned.
CELLS = ["1", "0", "-1", "-1.0", None]


@pytest.mark.parametrize(
    ("uncertain", "blank", "expected"),
    [
        ("u_ignore", "leave_out", {0: "1", 1: "0"}),
        ("u_zeros", "leave_out", {0: "1", 1: "0", 2: "0", 3: "0"}),
        ("u_ones", "leave_out", {0: "1", 1: "0", 2: "1", 3: "1"}),
        ("u_multiclass", "leave_out", {0: "1", 1: "0", 2: "uncertain", 3: "uncertain"}),
        ("u_ignore", "absent", {0: "1", 1: "0", 4: "0"}),
    ],
)
def test_policies_for_one_label(uncertain, blank, expected):
    target, kept = make_target("classification", ["Edema"], [CELLS], Policy(uncertain, blank))
    found = [target.classes[int(value)] for value in target.values[:, 0]]
    assert dict(zip(kept, found, strict=True)) == expected


@pytest.mark.parametrize(
    ("uncertain", "blank", "expected"),
    [
        ("u_ignore", "leave_out", [1, 0, np.nan, np.nan]),
        ("u_zeros", "leave_out", [1, 0, 0, 0]),
        ("u_ones", "absent", [1, 0, 1, 1, 0]),
    ],
)
def test_policies_for_several_labels(uncertain, blank, expected):
    other = ["1", "0", "1", "0", None]
    target, kept = make_target(
        "multilabel", ["Edema", "Other"], [CELLS, other], Policy(uncertain, blank)
    )
    assert target.classes == ("Edema", "Other")
    assert len(kept) == len(expected)
    np.testing.assert_array_equal(target.values[:, 0], expected)


def test_survival():
    times, events = ["5", None, "2.5", "1"], ["1", "0", "0:LIVING", "Deceased"]
    target, kept = make_target("survival", ["t", "e"], [times, events], Policy())
    assert kept == [0, 2, 3]
    assert target.values.tolist() == [[5, 1], [2.5, 0], [1, 1]]


@pytest.mark.parametrize(
    ("task", "cells", "policy", "message"),
    [
        ("classification", [["a", "a"]], Policy(), "no second class beside a"),
        ("classification", [["1", None]], Policy(), "--blank absent counts blank cells as class 0"),
        ("classification", [["1", "-1"]], Policy(), r"uncertain labels \(-1\).*u_ignore, u_zeros"),
        ("multilabel", [["1", "-1"], ["0", "1"]], Policy(), r"uncertain labels \(-1\)"),
        ("multilabel", [["1", "2"], ["0", "1"]], Policy(), "must be 1, 0, -1 or blank, got '2'"),
        ("multilabel", [["1", "1"], ["0", "1"]], Policy(), "never absent; leave it out, or give"),
        ("multilabel", [["1", "0"], ["0", "1"]], Policy("u_multiclass"), "is for one --target"),
        ("regression", [["1", "x"]], Policy(), "must be a number, got 'x'"),
        ("regression", [[None]], Policy(), "no row has a label"),
        ("survival", [["0"], ["1"]], Policy(), "--time t: must be above 0, got 0"),
        ("survival", [["1"], ["2"]], Policy(), r"--event u: must be 1 \(event\) or 0"),
        ("survival", [["1"], ["0"]], Policy(), "there is no event"),
    ],
)
def test_target_errors(task, cells, policy, message):
    with pytest.raises(InputError, match=message):
        make_target(task, ["t", "u"][: len(cells)], cells, policy)
