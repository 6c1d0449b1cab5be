"""Read the rows of one Parquet shard: some row groups of some columns at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files


class ShardReader:
    """A shard on disk or in a store.

    It keeps the footer of the file and no open file, so threads and forked processes can share it.

    Attributes:
      path: path or URI of the shard.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._footer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_footer": None}

    @property
    def schema(self) -> pa.Schema:
        """Return the columns and their types."""
        return self._metadata().schema.to_arrow_schema()

    def footer(self) -> Any:
        """Return the metadata of the file, as pyarrow gives it."""
        return self._metadata()

    @property
    def groups(self) -> int:
        """Return the number of row groups."""
        return int(self._metadata().num_row_groups)

    def rows_of(self, group: int) -> int:
        """Return the number of rows of a row group."""
        return int(self._metadata().row_group(group).num_rows)

    def groups_with(self, column: str, value: str) -> list[int]:
        """Return the row groups that may hold a value, by the statistics of the footer.

        Args:
          column: name of a column of strings.
          value: the value.
        """
        footer = self._metadata()
        place = footer.schema.to_arrow_schema().get_field_index(column)
        found = []
        for group in range(footer.num_row_groups):
            # Only columns of lists and maps differ in number between Arrow and Parquet, and the
            # identifiers stand before those.
            statistics = footer.row_group(group).column(place).statistics
            if (
                statistics is None
                or not statistics.has_min_max
                or statistics.min <= value <= statistics.max
            ):
                found.append(group)
        return found

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Return some row groups, in one read of the file.

        Raises:
          InputError: ``unreadable_dataset``: the file is missing or damaged.
        """
        with self._open() as file:
            return file.read_row_groups(list(groups), columns=list(columns))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the row groups in order; one is in memory at a time.

        Raises:
          InputError: ``unreadable_dataset``: the file is missing or damaged.
        """
        with self._open() as file:
            for group in range(file.metadata.num_row_groups):
                yield file.read_row_group(group, columns=list(columns))

    def _metadata(self) -> Any:
        if self._footer is None:
            with self._open():
                pass
        return self._footer

    @contextlib.contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with files.open_read(self.path) as stream:
                file = pq.ParquetFile(stream, metadata=self._footer, pre_buffer=True)
                self._footer = file.metadata
                yield file
        except (OSError, pa.ArrowException) as error:
            raise InputError(
                Kind.UNREADABLE_DATASET,
                f"{self.path}: cannot be read: {one_line(error)}. `beamscope verify` checks all "
                "files of an output, and the job's command makes damaged ones again",
            ) from error
