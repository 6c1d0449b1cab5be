"""Parquet files: shards of embeddings, and small tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.formats.base import Format, ShardWriter
from beamscope.transforms.formats.columns import is_embedding
from beamscope.transforms.storage import files


class ParquetShardWriter(ShardWriter):
    """Write record batches to a Parquet file, one row group for each.

    Embeddings and encoded images are stored plain: compression and dictionaries cost time and save
    no space there.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        plain = [f"{field.name}.list.element" for field in schema if is_embedding(field.type)]
        plain += [field.name for field in schema if pa.types.is_binary(field.type)]
        columns = [
            field.name
            for field in schema
            if not (is_embedding(field.type) or pa.types.is_binary(field.type))
        ]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression={**dict.fromkeys(columns, "zstd"), **dict.fromkeys(plain, "none")},
            use_dictionary=columns,
            write_statistics=columns,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch as one row group."""
        self._writer.write_batch(batch, row_group_size=max(1, batch.num_rows))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


PARQUET = Format(
    name="parquet",
    extension="parquet",
    summary="Apache Parquet",
    changes="",
    writer=ParquetShardWriter,
)


def table_bytes(table: pa.Table) -> bytes:
    """Return a small table as the content of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_table(path: str, table: pa.Table) -> None:
    """Create or replace a small table."""
    files.write_bytes(path, table_bytes(table))
