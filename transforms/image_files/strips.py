"""Compute on images strip by strip, so that what is needed on the way takes little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Result = TypeVar("_Result", bound=np.generic)

# Values of a strip: 8 MiB of float64.
_VALUES = 1 << 20


def in_strips(
    function: Callable[[npt.NDArray[Any]], npt.NDArray[_Result]], values: npt.NDArray[Any]
) -> npt.NDArray[_Result]:
    """Return what a function of each pixel alone makes of an image.

    Args:
      function: of ``[rows, …]``; it must not look beyond a row.
      values: ``[height, …]``.
    """
    rows = max(1, _VALUES * len(values) // max(1, values.size))
    if rows >= len(values):
        return function(values)
    first = function(values[:rows])
    found = np.empty((len(values), *first.shape[1:]), first.dtype)
    found[:rows] = first
    for top in range(rows, len(values), rows):
        found[top : top + rows] = function(values[top : top + rows])
    return found
