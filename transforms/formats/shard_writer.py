"""What writes a shard, whatever its format."""

from __future__ import annotations

import abc

import pyarrow as pa

from beamscope.transforms.closing import Closing


class ShardWriter(Closing):
    """A file that record batches are appended to; a context manager that closes it."""

    @abc.abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Appends a batch."""
