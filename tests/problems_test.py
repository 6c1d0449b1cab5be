import pickle

import pytest

from beamscope.transforms.problems import InputError, one_line


def test_input_error_keeps_its_kind_between_processes() -> None:
    error = pickle.loads(pickle.dumps(InputError("missing_mpp", "a.svs: says no mpp")))
    assert (error.kind, error.message, str(error)) == (
        "missing_mpp",
        "a.svs: says no mpp",
        "a.svs: says no mpp",
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("plain"), "plain"),
        (ValueError("two\n  lines\tand more"), "two lines and more"),
        (ValueError(), "ValueError"),
        (ValueError(" \n "), "ValueError"),
        (ValueError("x" * 20), "x" * 20),
        (ValueError("x" * 21), "x" * 19 + "…"),
    ],
)
def test_one_line(error: Exception, line: str) -> None:
    assert one_line(error, limit=20) == line
