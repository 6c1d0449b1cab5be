"""Embeddings and coordinates of some rows as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.formats.columns import as_matrix, is_embedding

COORDINATES = ("x_level0", "y_level0")


class Features(NamedTuple):
    """The rows of a slide or film, or of several.

    Attributes:
      embeddings: ``[n, D]`` in the dtype of the dataset: float32, or float16.
      coordinates: int32 ``[n, 2]``, left and top edge of each patch in level-0 pixels; None for
        films.
      rows: the other columns, a table of n rows.
    """

    embeddings: npt.NDArray[np.floating]
    coordinates: npt.NDArray[np.int32] | None
    rows: pa.Table


def features_of(table: pa.Table, column: str) -> Features:
    """Return rows as arrays that belong to the caller.

    Rows of which only other models have an embedding are left out.

    Args:
      table: rows of a dataset.
      column: its column of embeddings.
    """
    matrix = matrix_of(table[column])
    if not (there := has_embedding(matrix)).all():
        table, matrix = table.filter(pa.array(there)), matrix[there]
    coordinates = None
    if all(name in table.column_names for name in COORDINATES):
        coordinates = np.stack([table[name].to_numpy() for name in COORDINATES], axis=1)
        coordinates = coordinates.astype(np.int32, copy=False)
    others = [field.name for field in table.schema if not is_embedding(field.type)]
    return Features(matrix, coordinates, table.select(others))


def has_embedding(matrix: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Return which rows of ``[n, D]`` are embeddings, not the NaN that stands for none."""
    if not matrix.shape[1]:
        return np.ones(len(matrix), bool)
    # An embedding has no NaN at all: its first value tells.
    there: npt.NDArray[np.bool_] = ~np.isnan(matrix[:, 0])
    return there


def matrix_of(column: pa.ChunkedArray) -> npt.NDArray[np.floating]:
    """Return a column of embeddings as one new array ``[n, D]``."""
    dtype = np.float16 if column.type.value_type == pa.float16() else np.float32
    matrix = np.empty((len(column), column.type.list_size), dtype)
    start = 0
    for chunk in column.chunks:
        matrix[start : start + len(chunk)] = as_matrix(chunk)
        start += len(chunk)
    return matrix


def plain(values: Sequence[Any] | npt.NDArray[Any]) -> Any:
    """Return values as an array of numbers, or as a list if they are not all numbers."""
    array = np.asarray(values)
    return array if array.dtype.kind in "biuf" else list(values)
