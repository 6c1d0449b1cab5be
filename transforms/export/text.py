"""CSV files: the columns of the rows, then a column for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from beamscope.transforms.export.base import Exporter, Unit, without_maps


class CsvExporter(Exporter):
    """Writes ``SLIDE.csv``, or for films a file for each shard."""

    def files(self, name: str) -> tuple[str, ...]:
        """Return the file of a unit."""
        return (f"{name}.csv",)

    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        """Write a unit, a batch at a time."""
        column = self.dataset.embedding_column(self.settings.embedding)
        tables = (
            _with_columns(without_maps(batch.rows), column, batch.embeddings)
            for batch in unit.batches
        )
        write_csv(paths[0], tables)


def write_csv(path: Path, tables: object) -> None:
    """Write tables of one schema into one CSV; null is an empty cell.

    Args:
      path: a local path.
      tables: the tables, at least one.
    """
    writer = None
    try:
        for table in tables:  # type: ignore[attr-defined]
            if writer is None:
                writer = csv.CSVWriter(str(path), table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _with_columns(rows: pa.Table, column: str, embeddings: object) -> pa.Table:
    names = [*rows.column_names]
    arrays = [*rows.columns]
    values = embeddings.T  # type: ignore[attr-defined]
    for index, feature in enumerate(values):
        names.append(f"{column}_{index}")
        arrays.append(pa.array(feature))
    return pa.table(arrays, names)
