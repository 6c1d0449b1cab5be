"""What to search for: a place on a slide, a film or image of the dataset, or a file."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.formats.columns import as_matrix
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_PLACE = re.compile(r"(.+):(-?\d+),(-?\d+)")


@dataclasses.dataclass(frozen=True, eq=False)
class FoundRow:
    """A row of the dataset.

    Attributes:
      shard: index of its shard.
      group: index of its row group.
      row: index of the row in the row group.
      embedding: its vector, ``[features]``.
      values: its other columns.
    """

    shard: int
    group: int
    row: int
    embedding: npt.NDArray[np.floating]
    values: dict[str, Any]

    @property
    def place(self) -> tuple[int, int, int]:
        """Return shard, row group and row."""
        return self.shard, self.group, self.row


def find_like(dataset: Dataset, like: str, *, column: str | None = None) -> FoundRow:
    """Return the row that a user names.

    Args:
      dataset: where to look.
      like: ``SLIDE_ID:X,Y``, a point of a slide in level-0 pixels, for the patch that holds it (of
        several, the one with the nearest centre); or the id of a film or image.
      column: the column of embeddings; None for ``embedding``, or the only one.

    Raises:
      InputError: ``bad_query``; ``unknown_item``, ``no_embeddings``, ``unknown_column``,
        ``unreadable_dataset``.
    """
    column = dataset.embedding_column(column)
    match = _PLACE.fullmatch(like)
    if dataset.table_name != "slides":
        dataset.require(like)
        return _first(dataset, like, column)
    if match is None:
        raise InputError(
            Kind.BAD_QUERY,
            f"{like}: is no file, and no place of a slide such as SLIDE_ID:X,Y in level-0 pixels",
        )
    slide_id, x, y = match[1], int(match[2]), int(match[3])
    dataset.require(slide_id)
    return _patch(dataset, slide_id, x, y, column)


def _patch(dataset: Dataset, slide_id: str, x: int, y: int, column: str) -> FoundRow:
    best: tuple[float, int, int, int] | None = None
    nearest = (np.inf, 0, 0)
    for shard, group in _groups(dataset, slide_id):
        table = dataset.shards[shard].read(
            [group], [dataset.id_column, "x_level0", "y_level0", "size_level0"]
        )
        mine = np.flatnonzero(table[dataset.id_column].to_numpy() == slide_id)
        left, top, side = (
            table[name].to_numpy()[mine] for name in ("x_level0", "y_level0", "size_level0")
        )
        away = np.hypot(left + side / 2 - x, top + side / 2 - y)
        holds = (left <= x) & (x < left + side) & (top <= y) & (y < top + side)
        for place in np.flatnonzero(holds):
            best = min(
                best or (np.inf, 0, 0, 0), (float(away[place]), shard, group, int(mine[place]))
            )
        if len(mine):
            close = int(away.argmin())
            nearest = min(nearest, (float(away[close]), int(left[close]), int(top[close])))
    if best is None:
        raise InputError(
            Kind.BAD_QUERY,
            f"{slide_id}:{x},{y}: no patch of the dataset holds this point; the nearest is "
            f"{slide_id}:{nearest[1]},{nearest[2]}",
        )
    return _row(dataset, *best[1:], column)


def _first(dataset: Dataset, item_id: str, column: str) -> FoundRow:
    for shard, group in _groups(dataset, item_id):
        table = dataset.shards[shard].read([group], [dataset.id_column])
        mine = np.flatnonzero(table[dataset.id_column].to_numpy() == item_id)
        if len(mine):
            return _row(dataset, shard, group, int(mine[0]), column)
    raise InputError(Kind.UNREADABLE_DATASET, f"{dataset.root}: no shard holds {item_id!r}")


def _groups(dataset: Dataset, item_id: str) -> list[tuple[int, int]]:
    return [
        (place, group)
        for place, shard in enumerate(dataset.shards)
        for group in shard.groups_with(dataset.id_column, item_id)
    ]


def _row(dataset: Dataset, shard: int, group: int, row: int, column: str) -> FoundRow:
    others = [name for name in dataset.columns if name not in dataset.embedding_columns]
    table = dataset.shards[shard].read([group], [*others, column]).slice(row, 1)
    vector = as_matrix(table[column].combine_chunks())[0]
    return FoundRow(shard, group, row, vector, table.select(others).to_pylist()[0])
