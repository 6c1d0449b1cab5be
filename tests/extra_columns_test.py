import math

import pyarrow as pa
import pytest

from beamscope.transforms.extra_columns import check_extra_names, columns_of_rows, typed_column
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", "+3", " 4 ", ""], pa.int64(), [1, -2, 3, 4, None]),
        (["0.5", "2", "1e-3", None], pa.float64(), [0.5, 2.0, 1e-3, None]),
        # An identifier, even if all of its letters are digits.
        (["007", "12"], pa.string(), ["007", "12"]),
        (["1234567890123456789012"], pa.float64(), [1234567890123456789012.0]),
        (["1", "one"], pa.string(), ["1", "one"]),
        (["nan", "1"], pa.string(), ["nan", "1"]),
        (["inf"], pa.string(), ["inf"]),
        (["1,5"], pa.string(), ["1,5"]),
        (["2024-01-02"], pa.string(), ["2024-01-02"]),
        (["true", "false"], pa.string(), ["true", "false"]),
        (["1\n"], pa.int64(), [1]),
        (["", None], pa.string(), [None, None]),
        ([], pa.string(), []),
    ],
)
def test_typed_column(cells, kind, values):
    column = typed_column(pa.array(cells, pa.string()))
    assert column.type == kind
    found = column.to_pylist()
    assert len(found) == len(values)
    for one, other in zip(found, values, strict=True):
        assert one == other or math.isclose(one, other)


def test_rows_that_lack_a_column_are_null_there():
    table = columns_of_rows([{"a": "1"}, {"b": "x", "a": ""}, {}])
    assert table.to_pydict() == {"a": [1, None, None], "b": [None, "x", None]}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["patient", "Status"], "t.parquet has a column 'status' of its own; rename the column"),
        (["Site", "site"], "the columns 'Site' and 'site' have one name"),
        (["patient", ""], "a column has the name ''"),
        (["a\nb"], "a column has the name"),
    ],
)
def test_names_that_are_taken_error(names, words):
    check_extra_names(["patient", "label"], ["id", "status"], "--manifest m.csv", "t.parquet")
    with pytest.raises(InputError, match=words) as caught:
        check_extra_names(names, ["id", "status"], "--manifest m.csv", "t.parquet")
    assert caught.value.message.startswith("--manifest m.csv: ")
