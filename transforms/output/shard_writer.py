"""What writes a shard, whatever its format."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import Self

import pyarrow as pa


class ShardWriter(abc.ABC):
    """A file that record batches are appended to; a context manager that closes it."""

    @abc.abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Appends a batch."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
