"""The bootstrap over patients: intervals of metrics, and of differences between models.

Patients are drawn, not rows: films of one patient are alike, and an interval from rows would be too
narrow (Field and Welsh 2007). All models and points of a curve see the same draws, so a difference
is one between the same patients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from beamscope.transforms.probe.arrays import Floats

LEVEL = 0.95
# Numbers of weights, [resamples, predictions], in memory at a time: 64 MB.
_WEIGHTS_AT_ONCE = 8_000_000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Attributes:
      value: the value on all patients.
      low: lower end; NaN if no resample has a value.
      high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def interval(value: float, resampled: Floats) -> Interval:
    """Return a value with the percentiles of its resamples (Efron 1981); NaNs are left out."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def resampled_counts(patients: int, resamples: int, seed: int, rows: int) -> Iterator[Floats]:
    """Yield how often each patient counts: first once each, ``[1, patients]``, then the resamples.

    The resamples come in chunks ``[b, patients]``. Equal arguments give equal counts.

    Args:
      patients: number of patients.
      resamples: number of resamples.
      seed: of the draws.
      rows: number of rows that the counts are spread over, which bounds a chunk.
    """
    yield np.ones((1, patients))
    random = np.random.default_rng(seed)
    chunk = max(1, _WEIGHTS_AT_ONCE // max(1, rows, patients))
    chances = np.full(patients, 1 / max(1, patients))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        yield random.multinomial(patients, chances, size).astype(np.float64)
