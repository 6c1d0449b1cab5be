"""Columns of embeddings. Formats recognise them by their type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def is_embedding(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds embeddings: lists of a fixed size."""
    return bool(pa.types.is_fixed_size_list(kind))


def as_matrix(column: pa.FixedSizeListArray) -> npt.NDArray[np.floating]:
    """Return a column of embeddings as an array ``[n, D]``, without a copy where possible."""
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), column.type.list_size)
