"""How far two computations of the same embeddings agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def compare(
    computed: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """Return the lowest cosine between the rows of two ``[n, D]``, and how far lengths differ.

    Rows that are equal, zeros or the same NaN included, agree perfectly. Rows of which just one is
    finite, or just one zero, do not agree at all: cosine -1.

    Returns:
      the lowest cosine of all rows, and the largest difference in length as a fraction.
    """
    same = ((computed == expected) | (np.isnan(computed) & np.isnan(expected))).all(axis=1)
    a, b = computed[~same].astype(np.float64), expected[~same].astype(np.float64)
    if len(a) == 0:
        return 1.0, 0.0
    lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.einsum("nd,nd->n", a, b) / (lengths_a * lengths_b)
        differences = np.abs(lengths_a / lengths_b - 1)
    cosines = np.where(np.isfinite(cosines), cosines, -1.0)
    differences = np.where(np.isfinite(differences), differences, np.inf)
    return float(cosines.min()), float(differences.max())
