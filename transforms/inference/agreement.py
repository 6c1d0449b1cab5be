"""How far two computations of the same embeddings agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.model_settings import Precision

# Lowest cosine with the plain call, and largest difference in length as a fraction, because a
# cosine does not change with a factor. Below float32, rounding is expected and the user sees the
# cosine; those bounds only detect broken results.
MIN_COSINE = 0.9999
MAX_LENGTH_DIFFERENCE = 0.01
MIN_COSINE_ROUNDED = 0.98
MAX_LENGTH_DIFFERENCE_ROUNDED = 0.05


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


def agreement(
    compiler: str,
    computed: npt.NDArray[np.float32],
    expected: npt.NDArray[np.float32],
    precision: Precision,
) -> tuple[float, str | None]:
    """Compare what a compiler has made of a model with the plain call.

    Args:
      compiler: its name, for the message.
      computed: float32 ``[n, D]``.
      expected: of the plain call.
      precision: of what was computed.

    Returns:
      the lowest cosine, and how they differ; None where they agree.
    """
    cosine, difference = compare(computed, expected)
    exact = precision == "float32"
    if cosine < (MIN_COSINE if exact else MIN_COSINE_ROUNDED) or difference > (
        MAX_LENGTH_DIFFERENCE if exact else MAX_LENGTH_DIFFERENCE_ROUNDED
    ):
        return cosine, (
            f"compiled ({compiler}) it differs from the plain call: cosine "
            f"{cosine:.6f}, length difference {difference:.2%}"
        )
    return cosine, None
