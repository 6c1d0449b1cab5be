import numpy as np
import pyarrow as pa
import pytest

from beamscope.transforms.output.schema import (
    EMBEDDING,
    embedding_matrix,
    embedding_schema,
    to_record_batch,
    with_embedding_dtype,
)
from tests.output.samples import ROWS, block_of


@pytest.mark.parametrize(("dtype", "kind"), [("float32", pa.float32()), ("float16", pa.float16())])
def test_embedding_schema(dtype: str, kind: pa.DataType) -> None:
    schema = embedding_schema(ROWS, 7, dtype, {"a": "b"})
    assert schema.names == [*ROWS.names, EMBEDDING]
    assert schema.field(EMBEDDING).type == pa.list_(pa.field("item", kind, nullable=False), 7)
    assert not schema.field(EMBEDDING).nullable
    assert schema.metadata == {b"a": b"b"}


@pytest.mark.parametrize("n", [0, 1, 6])
def test_embeddings_go_into_a_batch_and_come_out(n: int) -> None:
    block = block_of("a", 0, n)
    batch = to_record_batch(block.rows, block.embeddings, embedding_schema(ROWS, 5))
    batch.validate(full=True)
    assert batch.select(ROWS.names).to_pylist() == block.rows.to_pylist()
    assert batch.column(EMBEDDING).to_pylist() == block.embeddings.tolist()
    np.testing.assert_array_equal(embedding_matrix(batch), block.embeddings)
    assert embedding_matrix(batch).shape == (n, 5)


def test_embedding_matrix_of_a_slice() -> None:
    block = block_of("a", 0, 6)
    batch = to_record_batch(block.rows, block.embeddings, embedding_schema(ROWS, 5))
    np.testing.assert_array_equal(embedding_matrix(batch.slice(2, 3)), block.embeddings[2:5])


def test_to_record_batch_takes_any_memory_order() -> None:
    block = block_of("a", 0, 6)
    schema = embedding_schema(ROWS, 5)
    expected = to_record_batch(block.rows, block.embeddings, schema)
    assert to_record_batch(block.rows, np.asfortranarray(block.embeddings), schema) == expected


@pytest.mark.parametrize("n", [0, 6])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_with_embedding_dtype_rounds_as_numpy_does(n: int, dtype: str) -> None:
    block = block_of("a", 0, n)
    whole = to_record_batch(block.rows, block.embeddings, embedding_schema(ROWS, 5))
    batch = with_embedding_dtype(whole, embedding_schema(ROWS, 5, dtype))
    np.testing.assert_array_equal(embedding_matrix(batch), block.embeddings.astype(dtype))
    assert embedding_matrix(batch).dtype == dtype
    assert batch.select(ROWS.names).to_pylist() == block.rows.to_pylist()


def test_with_embedding_dtype_goes_by_name() -> None:
    block = block_of("a", 0, 2)
    whole = to_record_batch(block.rows, block.embeddings, embedding_schema(ROWS, 5))
    turned = pa.schema(reversed(ROWS))
    batch = with_embedding_dtype(whole, embedding_schema(turned, 5))
    assert batch.select(ROWS.names).to_pylist() == block.rows.to_pylist()


@pytest.mark.parametrize("shape", [(2, 4), (2, 6), (10,), (2, 5, 1), (0, 4)])
def test_to_record_batch_errors(shape: tuple[int, ...]) -> None:
    block = block_of("a", 0, 2)
    with pytest.raises(ValueError, match="do not fit 5 features"):
        to_record_batch(block.rows, np.zeros(shape, np.float32), embedding_schema(ROWS, 5))
