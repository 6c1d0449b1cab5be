"""Principal components of embeddings, from sums over batches: rows are read once and not kept.

The sums are exact, unlike incremental approximations, and cost one product of matrices a batch.
They need D x D numbers, so that longer embeddings are first folded to `MOST_FEATURES` by adding up
features with random signs (count sketch: Charikar, Chen and Farach-Colton 2002), which keeps inner
products in the mean. No library is needed for it beyond NumPy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# A covariance of 2048 x 2048 float64 is 34 MB, and its eigenvectors take seconds.
MOST_FEATURES = 2048
COMPONENTS = 3
# Colours cover these percentiles of the sampled rows, so that few odd patches do not fade the rest.
_LOW, _HIGH = 1.0, 99.0


@dataclasses.dataclass(frozen=True, eq=False)
class Components:
    """The first principal components of a sample of embeddings.

    Attributes:
      mean: float64 ``[d]``.
      axes: float64 ``[d, 3]``, of length 1; zero where the sample has fewer dimensions.
      low: float64 ``[3]``, the value of each component that gets the colour 0.
      high: float64 ``[3]``, and 255.
      explained: float64 ``[3]``, share of the variance.
      rows: number of rows that they were computed from.
    """

    mean: F64
    axes: F64
    low: F64
    high: F64
    explained: F64
    rows: int

    def project(self, embeddings: npt.NDArray[np.floating]) -> F32:
        """Return the components of embeddings ``[n, D]`` as float32 ``[n, 3]``."""
        projected = (_folded(embeddings).astype(np.float64) - self.mean) @ self.axes
        return projected.astype(np.float32)

    def colors(self, embeddings: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Return a colour for each embedding, uint8 RGB ``[n, 3]``: similar ones look similar."""
        spread = np.where(self.high > self.low, self.high - self.low, 1.0)
        scaled = (self.project(embeddings) - self.low) / spread
        return np.asarray(np.clip(scaled * 215 + 30, 0, 255), np.uint8)


def fit_components(batches: Iterable[npt.NDArray[np.floating]]) -> Components | None:
    """Return the components of embeddings; None if there are fewer than two rows.

    Args:
      batches: embeddings ``[n, D]``, finite.
    """
    rows = 0
    total: F64 | None = None
    products: F64 | None = None
    kept: list[npt.NDArray[np.floating]] = []
    offset: F64 | None = None
    for batch in batches:
        if not len(batch):
            continue
        folded = _folded(batch).astype(np.float64)
        # Sums of squares about a point near the mean: no digits are lost where the mean is large.
        if offset is None:
            offset = folded.mean(axis=0)
        centred = folded - offset
        total = centred.sum(axis=0) + (0 if total is None else total)
        product = centred.T @ centred
        products = product if products is None else products + product
        rows += len(batch)
        kept.append(centred[:: max(1, len(centred) // 64)].astype(np.float32))
    if rows < 2 or total is None or products is None or offset is None:
        return None
    shift = total / rows
    covariance = products / rows - np.outer(shift, shift)
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:COMPONENTS]
    axes = np.zeros((len(offset), COMPONENTS))
    axes[:, : len(order)] = vectors[:, order]
    # An axis has no direction of its own: the largest entry is made positive, for the same colours.
    for place in range(len(order)):
        axes[:, place] *= np.sign(axes[np.abs(axes[:, place]).argmax(), place]) or 1.0
    explained = np.zeros(COMPONENTS)
    spread = max(float(np.trace(covariance)), np.finfo(np.float64).tiny)
    explained[: len(order)] = np.clip(values[order], 0, None) / spread
    sample = (np.concatenate(kept).astype(np.float64) - shift) @ axes
    low, high = (np.asarray(np.percentile(sample, one, axis=0)) for one in (_LOW, _HIGH))
    return Components(offset + shift, axes, low, high, explained, rows)


def _folded(embeddings: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return embeddings with at most `MOST_FEATURES` features, in the same way each time."""
    features = embeddings.shape[1]
    if features <= MOST_FEATURES:
        return embeddings
    random = np.random.default_rng(0)
    place = np.asarray(random.integers(0, MOST_FEATURES, size=features))
    signs = random.choice(np.array([-1, 1], np.float32), features)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(MOST_FEATURES))
    signed = embeddings[:, order].astype(np.float32) * signs[order]
    counts = np.bincount(place, minlength=MOST_FEATURES)
    folded = np.add.reduceat(signed, np.minimum(starts, features - 1), axis=1)
    return np.where(counts > 0, folded, 0)
