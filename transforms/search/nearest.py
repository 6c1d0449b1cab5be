"""The exact nearest rows of a dataset by cosine, over all shards."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.shard_reader import ShardReader
from beamscope.transforms.formats.columns import as_matrix
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.search.plain_pages import (
    NotPlainError,
    PlainChunk,
    plain_chunk,
    rows_of,
)
from beamscope.transforms.storage import files

# Rows that are multiplied at a time where Arrow has read them: 2 MB of 2,048 floats.
_ROWS_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, order=True)
class Hit:
    """A row that was found.

    Attributes:
      shard: index of its shard.
      group: index of its row group in the shard.
      row: index of the row in the row group.
      cosine: with the query, -1 to 1, computed in float32.
    """

    shard: int
    group: int
    row: int
    cosine: float


def nearest(
    dataset: Dataset,
    query: npt.ArrayLike,
    k: int,
    *,
    column: str | None = None,
    exclude: tuple[int, int, int] | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Hit]:
    """Return the k rows with the largest cosines, the nearest first.

    Every row is compared. Each shard is read once; a page, or a row group, of each thread is in
    memory. Rows of equal cosine are in the order of the dataset.

    Args:
      dataset: where to search.
      query: ``[features]``, a vector that is not zero.
      k: number of rows; fewer are returned if the dataset has fewer.
      column: the column of embeddings; None for ``embedding``, or the only one.
      exclude: shard, row group and row of a row that is not to be found, such as the query.
      threads: threads that read and multiply; None for one for each processor.
      progress: called with the number of rows of each row group when it is done.

    Raises:
      InputError: ``bad_query`` for a vector of zeros, of another length, or not finite;
        ``unknown_column``; ``unreadable_dataset``.
    """
    column = dataset.embedding_column(column)
    unit = _unit(query)
    best = _Best(k, exclude)
    tasks = [
        (place, group)
        for place, shard in enumerate(dataset.shards)
        for group in range(shard.groups)
    ]

    def search(task: tuple[int, int]) -> None:
        place, group = task
        shard = dataset.shards[place]
        scores = _scores(shard, group, column, unit)
        best.offer(place, group, scores)
        if progress is not None:
            progress(len(scores))

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        for _ in pool.map(search, tasks):
            pass
    return best.hits()


class _Best:
    """The best rows so far; threads share it."""

    def __init__(self, k: int, exclude: tuple[int, int, int] | None) -> None:
        self._k = k
        self._exclude = exclude
        self._lock = threading.Lock()
        self._hits: list[Hit] = []
        self._least = -np.inf

    def offer(self, shard: int, group: int, scores: npt.NDArray[np.float32]) -> None:
        """Take the rows of a row group that are among the best."""
        if self._exclude is not None and self._exclude[:2] == (shard, group):
            scores = scores.copy()
            scores[self._exclude[2]] = np.nan
        # Rows of zeros have no cosine (NaN), and are never found.
        rows = np.flatnonzero(scores >= self._least)
        if len(rows) > self._k:
            order = np.lexsort((rows, -scores[rows]))
            rows = rows[order[: self._k]]
        found = [Hit(shard, group, int(row), float(scores[row])) for row in rows]
        with self._lock:
            self._hits = sorted([*self._hits, *found], key=_nearest_first)[: self._k]
            if len(self._hits) == self._k:
                self._least = self._hits[-1].cosine

    def hits(self) -> list[Hit]:
        return self._hits


def _nearest_first(hit: Hit) -> tuple[float, int, int, int]:
    return -hit.cosine, hit.shard, hit.group, hit.row


def _unit(query: npt.ArrayLike) -> npt.NDArray[np.float32]:
    vector = np.asarray(query, np.float64).ravel()
    length = np.linalg.norm(vector)
    if not np.isfinite(length) or length == 0:
        raise InputError(Kind.BAD_QUERY, "the vector to search for is zero, or not finite")
    return (vector / length).astype(np.float32)


def _scores(
    shard: ShardReader, group: int, column: str, unit: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    chunk = _plain(shard, group, column, len(unit))
    if chunk is not None:
        with contextlib.suppress(NotPlainError), _opened(chunk) as file:
            return _compared(rows_of(chunk, file), chunk.rows, unit)
    return _compared(_by_arrow(shard, group, column), shard.rows_of(group), unit)


def _compared(
    batches: Iterable[npt.NDArray[np.float32]], count: int, unit: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    scores = np.empty(count, np.float32)
    start = 0
    for rows in batches:
        if rows.shape[1] != len(unit):
            raise InputError(
                Kind.BAD_QUERY,
                f"the vector to search for has {len(unit)} numbers, the dataset {rows.shape[1]}",
            )
        part = scores[start : start + len(rows)]
        # Both while the rows are in the processor's cache. BLAS would use threads of its own for a
        # product of matrix and vector, and none for products of vectors.
        np.vecdot(rows, unit, out=part)
        with np.errstate(divide="ignore", invalid="ignore"):
            part /= np.sqrt(np.vecdot(rows, rows))
        start += len(rows)
    return scores


def _by_arrow(shard: ShardReader, group: int, column: str) -> Iterator[npt.NDArray[np.float32]]:
    table = shard.read([group], [column])
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield np.ascontiguousarray(as_matrix(batch.column(0)), np.float32)


def _plain(shard: ShardReader, group: int, column: str, features: int) -> PlainChunk | None:
    if not files.is_local(shard.path):
        return None
    return plain_chunk(shard.path, shard.footer(), group, column, features)


@contextlib.contextmanager
def _opened(chunk: PlainChunk) -> Iterator[int]:
    try:
        file = os.open(chunk.path, os.O_RDONLY)
        try:
            yield file
        finally:
            os.close(file)
    except OSError as error:
        raise InputError(
            Kind.UNREADABLE_DATASET, f"{chunk.path}: cannot be read: {one_line(error)}"
        ) from error
