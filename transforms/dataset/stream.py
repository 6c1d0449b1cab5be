"""Patches or films in batches, streamed from the shards in order or in a random order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from beamscope.transforms.dataset.features import features_of, plain
from beamscope.transforms.dataset.join import label_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

if TYPE_CHECKING:
    from beamscope.transforms.dataset.dataset import Dataset

# Row groups of some thousand rows whose rows are mixed with each other.
_MIXED_GROUPS = 8


class RowStream:
    """Batches of rows. Iterating over it reads the shards; some row groups are in memory.

    In a random order, the row groups come in a random order, and the rows of each eight of them are
    mixed. The order depends on the seed and the epoch alone.

    Attributes:
      epoch: the number of the pass over the data; see `set_epoch`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        labels: pa.Table | Mapping[str, Any] | None,
        label: str,
        column: str,
        seed: int | None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._dataset = dataset
        self._batch_size = batch_size
        self._labels = None if labels is None else label_of(labels, label)
        self._column = column
        self._seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose another random order for the next pass over the data."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield batches.

        Yields:
          a dict with ``slide_id`` or ``image_id``, a list; ``embeddings``, ``[n, D]``;
          ``coordinates``, int32 ``[n, 2]``, for slides; ``label``, an array or list, if there are
          labels.
        """
        return self.part(0, 1)

    def part(self, index: int, count: int) -> Iterator[dict[str, Any]]:
        """Yield the batches of one of several workers; together they read every row once.

        Args:
          index: index of the worker.
          count: number of workers.
        """
        random = None if self._seed is None else np.random.default_rng((self._seed, self.epoch))
        waiting: list[pa.Table] = []
        ready = 0
        for table in self._mixed(random, index, count):
            waiting.append(table)
            ready += table.num_rows
            if ready >= self._batch_size:
                joined = pa.concat_tables(waiting)
                whole = ready - ready % self._batch_size
                for start in range(0, whole, self._batch_size):
                    yield self._batch(joined.slice(start, self._batch_size))
                waiting, ready = [joined.slice(whole)], ready - whole
        if ready:
            yield self._batch(pa.concat_tables(waiting))

    def to_torch(self) -> Any:
        """Return it as a ``torch.utils.data.IterableDataset``, for a ``DataLoader``.

        Use ``DataLoader(…, batch_size=None)``: its items are batches. Its workers share the rows.

        Raises:
          InputError: ``missing_package``: PyTorch is not installed.
        """
        try:
            from beamscope.transforms.dataset.torch_stream import TorchStream
        except ModuleNotFoundError as error:
            raise InputError(
                Kind.MISSING_PACKAGE, "to_torch() needs PyTorch: pip install torch"
            ) from error
        return TorchStream(self)

    def _mixed(
        self, random: np.random.Generator | None, index: int, count: int
    ) -> Iterator[pa.Table]:
        places = [(shard, group) for shard in self._dataset.shards for group in range(shard.groups)]
        if random is not None:
            places = [places[place] for place in random.permutation(len(places))]
        columns = self._columns()
        mine = iter(places[index::count])
        while some := list(itertools.islice(mine, 1 if random is None else _MIXED_GROUPS)):
            table = pa.concat_tables([shard.read([group], columns) for shard, group in some])
            if self._labels is not None:
                ids = table[self._dataset.id_column].to_pylist()
                known = self._labels
                table = table.filter(pa.array([item_id in known for item_id in ids], pa.bool_()))
            yield table if random is None else table.take(random.permutation(table.num_rows))

    def _columns(self) -> list[str]:
        there = self._dataset.columns
        wanted = (self._dataset.id_column, "x_level0", "y_level0", self._column)
        return [name for name in there if name in wanted]

    def _batch(self, table: pa.Table) -> dict[str, Any]:
        found = features_of(table, self._column)
        ids: list[str] = table[self._dataset.id_column].to_pylist()
        batch: dict[str, Any] = {self._dataset.id_column: ids, "embeddings": found.embeddings}
        if found.coordinates is not None:
            batch["coordinates"] = found.coordinates
        if self._labels is not None:
            batch["label"] = plain([self._labels[item_id] for item_id in ids])
        return batch
