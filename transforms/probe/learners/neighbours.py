"""k nearest neighbours by cosine of standardised features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.learners.base import Fitted, Scaler
from beamscope.transforms.probe.metrics.decisions import mean_of_known
from beamscope.transforms.probe.target import Target


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The mean of the labels of the k most similar training units.

    Attributes:
      k: largest number of neighbours; with few units, the square root of their number.
    """

    k: int = 10
    name: str = "knn"

    def fit(
        self,
        inputs: npt.NDArray[np.floating],
        target: Target,
        groups: Ints,  # noqa: ARG002
    ) -> Fitted:
        """Return a model of vectors ``[n, D]``."""
        from sklearn.neighbors import NearestNeighbors

        scaler = Scaler(inputs)
        k = max(1, min(self.k, math.isqrt(len(target))))
        search = NearestNeighbors(n_neighbors=k, metric="cosine").fit(scaler(inputs))
        return _Fitted(scaler, search, target.one_hot(), {"k": float(k)})


@dataclasses.dataclass(frozen=True, eq=False)
class _Fitted:
    scaler: Scaler
    search: Any
    labels: Floats
    chosen: Mapping[str, float]

    def scores(self, inputs: npt.NDArray[np.floating]) -> Floats:
        near = self.search.kneighbors(self.scaler(inputs), return_distance=False)
        found = mean_of_known(np.moveaxis(self.labels[near], 1, -1))
        # None of the neighbours has the label known.
        return np.nan_to_num(found, nan=0.0)
