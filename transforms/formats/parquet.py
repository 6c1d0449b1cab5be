"""Parquet files: shards of embeddings, and small tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.formats.shard_writer import ShardWriter
from beamscope.transforms.output.schema import EMBEDDING
from beamscope.transforms.storage import files


class ParquetShardWriter(ShardWriter):
    """Writes record batches to one Parquet file, a row group for each.

    Embeddings are stored plain: compression and dictionaries find nothing in them and cost time.
    """

    def __init__(self, path: Path, schema: pa.Schema, compress: bool = False) -> None:
        del compress  # Parquet compresses by column, see above.
        columns = [name for name in schema.names if name != EMBEDDING]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression={**dict.fromkeys(columns, "zstd"), f"{EMBEDDING}.list.element": "none"},
            use_dictionary=columns,
            write_statistics=columns,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends a batch as one row group."""
        self._writer.write_batch(batch, row_group_size=max(1, batch.num_rows))

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()


def write_table(path: str, table: pa.Table) -> None:
    """Creates or replaces a small table."""
    with files.atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
