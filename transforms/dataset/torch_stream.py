"""A stream of rows as PyTorch's `IterableDataset`. Importing this module needs PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from beamscope.transforms.dataset.stream import RowStream


class TorchStream(IterableDataset):
    """The batches of a `RowStream`, divided among the workers of a ``DataLoader``.

    Attributes:
      stream: the stream.
    """

    def __init__(self, stream: RowStream) -> None:
        super().__init__()
        self.stream = stream

    def set_epoch(self, epoch: int) -> None:
        """Choose another random order for the next pass over the data."""
        self.stream.set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        return (
            self.stream.part(0, 1)
            if worker is None
            else self.stream.part(worker.id, worker.num_workers)
        )
