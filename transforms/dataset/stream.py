"""Patches or films in batches, streamed from the shards in order or in a random order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.dataset.features import features_of, plain
from beamscope.transforms.dataset.join import label_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

if TYPE_CHECKING:
    from beamscope.transforms.dataset.dataset import Dataset
    from beamscope.transforms.dataset.shard_reader import ShardReader

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
        size = self._batch_size
        left: _Rows | None = None
        for rows in self._windows(random, index, count):
            start = 0
            if left is not None:
                start = min(size - len(left), len(rows))
                left = left.joined(rows.part(0, start))
                if len(left) < size:
                    continue
                yield self._batch(left)
                left = None
            whole = start + (len(rows) - start) // size * size
            for first in range(start, whole, size):
                yield self._batch(rows.part(first, first + size))
            if whole < len(rows):
                left = rows.part(whole, len(rows))
        if left is not None:
            yield self._batch(left)

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

    def _windows(
        self, random: np.random.Generator | None, index: int, count: int
    ) -> Iterator[_Rows]:
        """Yield the rows of some row groups at a time, mixed if there is a random order."""
        places = [(shard, group) for shard in self._dataset.shards for group in range(shard.groups)]
        if random is not None:
            places = [places[place] for place in random.permutation(len(places))]
        mine = iter(places[index::count])
        while some := list(itertools.islice(mine, 1 if random is None else _MIXED_GROUPS)):
            rows = self._read(some)
            if random is not None:
                rows.order = random.permutation(len(rows))
            yield rows

    def _read(self, places: Sequence[tuple[ShardReader, int]]) -> _Rows:
        """Return the rows of row groups; one of them is in memory twice meanwhile."""
        columns = self._columns()
        most = sum(shard.rows_of(group) for shard, group in places)
        ids: list[str] = []
        coordinates = []
        embeddings: npt.NDArray[np.floating] = np.empty((0, 0), np.float32)
        for shard, group in places:
            table = self._labelled(shard.read([group], columns))
            found = features_of(table, self._column)
            if not ids and not len(embeddings):
                length = found.embeddings.shape[1]
                embeddings = np.empty((most, length), found.embeddings.dtype)
            embeddings[len(ids) : len(ids) + found.rows.num_rows] = found.embeddings
            ids += found.rows[self._dataset.id_column].to_pylist()
            if found.coordinates is not None:
                coordinates.append(found.coordinates)
        return _Rows(
            np.array(ids, dtype=object),
            embeddings[: len(ids)],
            np.concatenate(coordinates) if coordinates else None,
            np.arange(len(ids)),
        )

    def _labelled(self, table: pa.Table) -> pa.Table:
        if self._labels is None:
            return table
        ids = table[self._dataset.id_column].to_pylist()
        return table.filter(pa.array([item_id in self._labels for item_id in ids], pa.bool_()))

    def _columns(self) -> list[str]:
        there = self._dataset.columns
        wanted = (self._dataset.id_column, "x_level0", "y_level0", self._column)
        return [name for name in there if name in wanted]

    def _batch(self, rows: _Rows) -> dict[str, Any]:
        ids: list[str] = rows.ids.tolist()
        batch: dict[str, Any] = {self._dataset.id_column: ids, "embeddings": rows.embeddings}
        if rows.coordinates is not None:
            batch["coordinates"] = rows.coordinates
        if self._labels is not None:
            batch["label"] = plain([self._labels[item_id] for item_id in ids])
        return batch


@dataclasses.dataclass(eq=False)
class _Rows:
    """Rows in memory, and the order in which they are given out."""

    ids: npt.NDArray[Any]
    embeddings: npt.NDArray[np.floating]
    coordinates: npt.NDArray[np.int32] | None
    order: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.order)

    def part(self, start: int, end: int) -> _Rows:
        """Return a copy of some rows."""
        chosen = self.order[start:end]
        coordinates = None if self.coordinates is None else self.coordinates[chosen]
        return _Rows(self.ids[chosen], self.embeddings[chosen], coordinates, np.arange(len(chosen)))

    def joined(self, others: _Rows) -> _Rows:
        """Return these rows and others; neither has an order of its own."""
        coordinates = None
        if self.coordinates is not None and others.coordinates is not None:
            coordinates = np.concatenate([self.coordinates, others.coordinates])
        return _Rows(
            np.concatenate([self.ids, others.ids]),
            np.concatenate([self.embeddings, others.embeddings]),
            coordinates,
            np.arange(len(self) + len(others)),
        )
