"""Scores of patches from a table: slide_id, x_level0, y_level0, and a column of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.join import require_column
from beamscope.transforms.dataset.table_file import read_table
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

KEYS = ("slide_id", "x_level0", "y_level0")


class Scores:
    """A score for patches, from a CSV or Parquet file.

    Attributes:
      column: name of the column of scores.
      values: all scores: float64, NaN for none; or text, None for none.
    """

    def __init__(self, source: str, column: str | None, dataset: Dataset) -> None:
        """Read a table of scores.

        Raises:
          InputError: ``bad_table``: it cannot be read, lacks a column, has a patch twice, or no row
            of it belongs to a slide of the dataset.
        """
        table = read_table(source, text=("slide_id",))
        for key in KEYS:
            require_column(table, key, f"--scores {source}")
        self.column = _score_column(source, table, column)
        slides = table["slide_id"].to_numpy()
        order = np.argsort(slides, kind="stable")
        self._slides = slides[order]
        self._places = _places(
            _whole_numbers(source, table, "x_level0")[order],
            _whole_numbers(source, table, "y_level0")[order],
        )
        self.values = values_of(table[self.column])[order]
        known = set(dataset.ids)
        there = dict.fromkeys(slides.tolist())
        if not known & there.keys():
            raise InputError(
                Kind.BAD_TABLE,
                f"--scores {source}: no row belongs to a slide of the dataset; its slide_id is "
                f"like {next(iter(there), None)!r}, and that of the dataset is like "
                f"{next(iter(dataset.ids), None)!r}",
            )
        self.other_slides = sum(slide not in known for slide in there)
        self._source = source

    def of(self, slide_id: str, coordinates: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """Return the score of each patch of a slide; NaN or None where there is none.

        Raises:
          InputError: ``bad_table``: a patch has two scores.
        """
        first, last = (
            int(np.searchsorted(self._slides, slide_id, side)) for side in ("left", "right")
        )
        order = np.argsort(self._places[first:last], kind="stable")
        places = self._places[first:last][order]
        values = self.values[first:last][order]
        if (places[1:] == places[:-1]).any():
            raise InputError(
                Kind.BAD_TABLE,
                f"--scores {self._source}: two rows have the same patch of {slide_id!r}",
            )
        wanted = _places(coordinates[:, 0], coordinates[:, 1])
        found = np.searchsorted(places, wanted)
        inside = np.minimum(found, max(0, len(places) - 1))
        # NaN, or for text None.
        scores = np.full(len(wanted), None).astype(values.dtype)
        if len(places):
            known = places[inside] == wanted
            scores[known] = values[inside][known]
        return scores


def values_of(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column as float64 with NaN for null, or as objects with None for null."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values: npt.NDArray[Any] = column.cast(pa.float64()).to_numpy()
        return values
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)


def _score_column(source: str, table: pa.Table, column: str | None) -> str:
    if column is not None:
        require_column(table, column, f"--scores {source}")
        return column
    others = [name for name in table.column_names if name not in KEYS]
    if len(others) == 1:
        return str(others[0])
    raise InputError(
        Kind.BAD_TABLE,
        f"--scores {source}: has {'no' if not others else 'several'} columns of scores; choose one "
        f"with --column: {', '.join(others) or 'none there'}",
    )


def _whole_numbers(source: str, table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    try:
        values: npt.NDArray[np.int64] = table[name].cast(pa.int64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        message = f"--scores {source}: {name} is not a column of whole numbers"
        raise InputError(Kind.BAD_TABLE, message) from error
    if table[name].null_count:
        raise InputError(Kind.BAD_TABLE, f"--scores {source}: {name} is blank in some rows")
    return values


def _places(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return one number for each coordinate."""
    return (x.astype(np.int64) << 32) + y.astype(np.int64)
