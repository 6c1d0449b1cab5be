from contextlib import closing
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.transforms.formats.parquet import ParquetShardWriter, write_table
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from tests.output.samples import ROWS, block_of

SCHEMA = embedding_schema(ROWS, 5, metadata={"beamscope.version": "1"})


def _batch(index: int, n: int) -> pa.RecordBatch:
    block = block_of("a", index, n)
    return to_record_batch(block.rows, block.embeddings, SCHEMA)


def test_each_batch_is_a_row_group(tmp_path: Path) -> None:
    with closing(ParquetShardWriter(tmp_path / "a.parquet", SCHEMA)) as writer:
        for index, n in enumerate([7, 1, 4]):
            writer.write(_batch(index, n))
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        assert [group.num_rows for group in groups] == [7, 1, 4]
        assert file.schema_arrow.equals(SCHEMA)
        assert file.schema_arrow.metadata == {b"beamscope.version": b"1"}
        for index, n in enumerate([7, 1, 4]):
            assert file.read_row_group(index).to_pylist() == _batch(index, n).to_pylist()


def test_embeddings_are_stored_plain(tmp_path: Path) -> None:
    with closing(ParquetShardWriter(tmp_path / "a.parquet", SCHEMA)) as writer:
        writer.write(_batch(0, 7))
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    embedding = columns.pop("embedding.list.element")
    assert embedding.compression == "UNCOMPRESSED"
    assert not {"PLAIN_DICTIONARY", "RLE_DICTIONARY"} & set(embedding.encodings)
    assert not embedding.is_stats_set
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert all(column.is_stats_set for column in columns.values())


def test_a_file_without_a_batch_is_valid(tmp_path: Path) -> None:
    with closing(ParquetShardWriter(tmp_path / "a.parquet", SCHEMA)):
        pass
    assert pq.read_table(tmp_path / "a.parquet").schema.equals(SCHEMA)
    assert pd.read_parquet(tmp_path / "a.parquet").columns.to_list() == SCHEMA.names


def test_writer_errors(tmp_path: Path) -> None:
    with closing(ParquetShardWriter(tmp_path / "a.parquet", SCHEMA)) as writer:
        with pytest.raises(ValueError, match="schema"):
            writer.write(_batch(0, 2).select(["slide_id"]))
        writer.write(_batch(0, 2))


def test_write_table_replaces(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.parquet"
    for values in ([1, 2, 3], [], [4]):
        write_table(str(path), pa.table({"x": pa.array(values, pa.int64())}))
        assert pd.read_parquet(path)["x"].to_list() == values
    assert [file.name for file in path.parent.iterdir()] == ["a.parquet"]


def test_write_table_errors(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", pa.int64(), nullable=False)])
    table = pa.Table.from_arrays([pa.array([1, None], pa.int64())], schema=schema)
    with pytest.raises(pa.ArrowInvalid, match="non-nullable"):
        write_table(str(tmp_path / "a.parquet"), table)
    assert list(tmp_path.iterdir()) == []
