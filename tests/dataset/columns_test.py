import pytest

from beamscope.transforms.dataset.columns import Columns
from beamscope.transforms.problems import InputError

VECTOR = "fixed_size_list<item: float not null>[4]"
ONE = {"slide_id": "string", "embedding": VECTOR}
TWO = {"slide_id": "string", "embedding_a": VECTOR, "embedding_b": VECTOR}


@pytest.mark.parametrize(
    ("schema", "chosen", "column", "expected"),
    [
        (ONE, None, None, "embedding"),
        (ONE, None, "embedding", "embedding"),
        (TWO, None, "b", "embedding_b"),
        (TWO, None, "embedding_b", "embedding_b"),
        (TWO, "embedding_b", None, "embedding_b"),
        (TWO, "embedding_b", "a", "embedding_a"),
        ({"slide_id": "string", "embedding_a": VECTOR}, None, None, "embedding_a"),
    ],
)
def test_embedding(
    schema: dict[str, str], chosen: str | None, column: str | None, expected: str
) -> None:
    assert Columns("out", schema, chosen).embedding(column) == expected


@pytest.mark.parametrize(
    ("schema", "column", "message"),
    [
        (TWO, None, "has several columns of embeddings; choose .* from embedding_a, embedding_b"),
        (TWO, "c", "has no embeddings 'c'; choose"),
        (ONE, "slide_id", "has no embeddings 'slide_id'"),
        ({"slide_id": "string"}, None, "has no embeddings; its columns are slide_id"),
    ],
)
def test_embedding_errors(schema: dict[str, str], column: str | None, message: str) -> None:
    with pytest.raises(InputError, match=f"^out: {message}") as raised:
        Columns("out", schema).embedding(column)
    assert raised.value.kind == "unknown_column"


def test_with_embedding_leaves_out_the_others() -> None:
    assert Columns("out", TWO).with_embedding("embedding_b") == ["slide_id", "embedding_b"]


def test_checked() -> None:
    columns = Columns("out", TWO)
    assert columns.checked(None) == tuple(TWO)
    assert columns.checked(["embedding_a"]) == ["embedding_a"]
    with pytest.raises(InputError, match="out: has no column 'slide'; did you mean 'slide_id'"):
        columns.checked(["slide"])
