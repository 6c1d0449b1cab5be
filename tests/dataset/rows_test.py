import pyarrow as pa
import pytest

from beamscope.transforms.dataset.rows import batches_of, by_item, rows_of


def tables(*ids: str) -> list[pa.Table]:
    """One table for each string, one row for each of its characters; rows are numbered."""
    number = iter(range(100))
    schema = pa.schema({"id": pa.string(), "row": pa.int64()})
    return [pa.table([list(of), [next(number) for _ in of]], schema=schema) for of in ids]


@pytest.mark.parametrize(
    ("ids", "rows", "expected"),
    [
        (["abc", "de"], 2, [[0, 1], [2, 3], [4]]),
        (["abcd"], 2, [[0, 1], [2, 3]]),
        (["a", "b", "", "c"], 5, [[0, 1, 2]]),
        (["a" * 7], 3, [[0, 1, 2], [3, 4, 5], [6]]),
        ([], 3, []),
    ],
)
def test_batches_of(ids: list[str], rows: int, expected: list[list[int]]) -> None:
    assert [batch["row"].to_pylist() for batch in batches_of(tables(*ids), rows)] == expected


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["aab"], [("a", [0, 1]), ("b", [2])]),
        (["aa", "ab", "b"], [("a", [0, 1, 2]), ("b", [3, 4])]),
        (["", "a", "", "a"], [("a", [0, 1])]),
        ([""], []),
    ],
)
def test_by_item(ids: list[str], expected: list[tuple[str, list[int]]]) -> None:
    found = [(item_id, rows["row"].to_pylist()) for item_id, rows in by_item(tables(*ids), "id")]
    assert found == expected


@pytest.mark.parametrize(
    ("ids", "expected"), [("abbc", [1, 2]), ("bab", [0, 2]), ("ac", []), ("", [])]
)
def test_rows_of(ids: str, expected: list[int]) -> None:
    (table,) = tables(ids)
    assert rows_of(table, "id", "b")["row"].to_pylist() == expected
