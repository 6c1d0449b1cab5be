"""Values read page by page, against what was written and against Arrow."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamscope.transforms.formats.parquet import ParquetShardWriter
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.problems import InputError
from beamscope.transforms.search.plain_pages import NotPlainError, plain_chunk, rows_of

ROWS = pa.schema([pa.field("slide_id", pa.string(), nullable=False)])


def write(path, values, writer=None, **options):
    rows = pa.RecordBatch.from_arrays([pa.array(["a"] * len(values))], schema=ROWS)
    schema = embedding_schema(ROWS, values.shape[1], options.pop("dtype", "float32"))
    batch = to_record_batch(rows, values, schema)
    if options:
        pq.write_table(pa.Table.from_batches([batch]), path, **options)
        return
    shard = ParquetShardWriter(path, schema)
    shard.write(batch)
    shard.write(batch)
    shard.close()


def read(path, features, group=0):
    footer = pq.read_metadata(path)
    chunk = plain_chunk(str(path), footer, group, "embedding", features)
    if chunk is None:
        return None
    file = os.open(path, os.O_RDONLY)
    try:
        return np.concatenate([rows.copy() for rows in rows_of(chunk, file)])
    finally:
        os.close(file)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 900), st.sampled_from([1, 3, 7, 512, 2048, 5000]), st.integers(0, 2**32 - 1))
def test_values_are_those_that_were_written(tmp_path, rows, features, seed):
    rows = min(rows, 2_000_000 // features)
    values = np.random.default_rng(seed).standard_normal((rows, features), np.float32)
    path = tmp_path / f"{rows}-{features}-{seed}.parquet"
    write(path, values)
    for group in range(2):
        np.testing.assert_array_equal(read(path, features, group), values)
    path.unlink()


@pytest.mark.parametrize("page_size", [100, 1000, 10_000, 1 << 20])
def test_rows_may_lie_on_several_pages(tmp_path, page_size):
    values = np.random.default_rng(0).standard_normal((300, 257), np.float32)
    path = tmp_path / "a.parquet"
    write(path, values, compression="none", use_dictionary=False, data_page_size=page_size,
          write_batch_size=10)  # fmt: skip
    np.testing.assert_array_equal(read(path, 257), values)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd", "use_dictionary": False},
        {"compression": "none", "use_dictionary": ["embedding.list.element"]},
        {"compression": "none", "use_dictionary": False, "dtype": "float16"},
        {"compression": "none", "use_dictionary": False,
         "column_encoding": {"embedding.list.element": "BYTE_STREAM_SPLIT"}},
    ],
)  # fmt: skip
def test_what_is_stored_otherwise_is_left_to_arrow(tmp_path, options):
    path = tmp_path / "a.parquet"
    write(path, np.ones((50, 8), np.float32), **options)
    assert read(path, 8) is None


def test_pages_of_the_second_version_are_left_to_arrow_too(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, np.ones((50, 8), np.float32), compression="none", use_dictionary=False,
          data_page_version="2.0")  # fmt: skip
    with pytest.raises(NotPlainError):
        read(path, 8)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_headers_end_as_errors(tmp_path, seed):
    values = np.random.default_rng(0).standard_normal((64, 16), np.float32)
    path = tmp_path / "a.parquet"
    write(path, values)
    footer = pq.read_metadata(path)
    chunk = plain_chunk(str(path), footer, 0, "embedding", 16)
    assert chunk is not None
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for place in rng.integers(chunk.offset, chunk.offset + 24, 4):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    file = os.open(path, os.O_RDONLY)
    try:
        found = np.concatenate([rows.copy() for rows in rows_of(chunk, file)])
    except NotPlainError:
        pass
    except InputError as error:
        assert error.kind == "unreadable_dataset"  # noqa: PT017
    else:
        assert found.shape == values.shape
    finally:
        os.close(file)
