"""When errors that are alike are no longer taken for bad items."""

import pickle

import pytest

from beamscope.transforms.faults.defects import (
    AT_THE_START,
    IN_A_ROW,
    Breaker,
    DefectEverywhereError,
    traceback_text,
)
from beamscope.transforms.faults.steps import Step


def raised(kind=ValueError, message="x"):
    try:
        raise kind(message)
    except kind as error:
        return error


def other_place():
    try:
        raise ValueError("x")
    except ValueError as error:
        return error


def fail(breaker, steps, error=raised):
    """How many failures it takes to end the job; None where these do not."""
    for count, step in enumerate(steps, 1):
        try:
            breaker.failed(step, error())
        except DefectEverywhereError:
            return count
    return None


ITEMS = [Step(f"item-{number}", 0) for number in range(100)]


@pytest.mark.parametrize(
    ("items", "steps", "expected"),
    [
        (100, ITEMS, AT_THE_START),
        # One bad item is itself, however many blocks it has, unless there is no other.
        (100, [Step("a", index) for index in range(1000)], None),
        (100, [Step("ab"[index % 2], index) for index in range(1000)], None),
        (2, [Step("ab"[index % 2], index) for index in range(1000)], AT_THE_START),
        (1, [Step("a", index) for index in range(1000)], AT_THE_START),
    ],
)
def test_where_nothing_has_worked(items, steps, expected):
    assert fail(Breaker(items), steps) == expected


def test_where_something_has_worked():
    breaker = Breaker(100)
    breaker.worked()
    assert fail(breaker, ITEMS) == IN_A_ROW


def test_a_success_between_begins_to_count_anew():
    breaker = Breaker(100)
    assert fail(breaker, ITEMS[: AT_THE_START - 1]) is None
    breaker.worked()
    assert fail(breaker, ITEMS[: IN_A_ROW - 1]) is None


@pytest.mark.parametrize("other", [lambda: raised(KeyError), other_place])
def test_errors_that_are_not_alike_end_nothing(other):
    breaker = Breaker(100)
    for one, two in zip(ITEMS[::2], ITEMS[1::2], strict=True):
        breaker.failed(one, raised())
        breaker.failed(two, other())


def test_the_error_names_type_place_and_steps_and_travels():
    breaker = Breaker(100)
    assert fail(breaker, ITEMS[: AT_THE_START - 1]) is None
    with pytest.raises(DefectEverywhereError) as caught:
        breaker.failed(ITEMS[AT_THE_START - 1], raised())
    error = pickle.loads(pickle.dumps(caught.value))
    assert "the first 8 " in str(error)
    assert "ValueError at defects_test.py:" in str(error)
    assert error.steps == tuple(ITEMS[:AT_THE_START])


def test_a_traceback_has_every_cause_and_no_words():
    try:
        try:
            int("Doe^John")
        except ValueError as cause:
            raise KeyError("Roe^Jane") from cause
    except KeyError as error:
        text = traceback_text(error)
        quoted = traceback_text(error, quoted=True)
    assert text.index("builtins.ValueError") < text.index("builtins.KeyError")
    assert "which led to" in text
    assert "invalid literal" not in text
    assert "invalid literal" in quoted
