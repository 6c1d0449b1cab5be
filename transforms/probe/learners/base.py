"""What a small model has to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.target import Target


class Inputs(Protocol):
    """What models see of units: vectors ``[N, D]`` in an array, or bags of patches."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Ints, /) -> Any:
        """Return the inputs of some units."""
        ...


class Fitted(Protocol):
    """A fitted model."""

    @property
    def chosen(self) -> Mapping[str, float]:
        """Return what the model was fitted with, such as the chosen C, for the record."""
        ...

    def scores(self, inputs: Any) -> Floats:
        """Return ``[n, S]``: probabilities of classes or labels, the number, or the risk."""
        ...


class Learner(Protocol):
    """A way to fit a model."""

    @property
    def name(self) -> str:
        """Return its name on the command line."""
        ...

    def fit(self, inputs: Any, target: Target, groups: Ints) -> Fitted:
        """Return a model of units and their labels; `groups` are the units' patients."""
        ...


class Scaler:
    """Scale features to mean 0 and standard deviation 1 of the training units."""

    def __init__(self, vectors: npt.NDArray[np.floating]) -> None:
        self.mean = vectors.mean(0, dtype=np.float64)
        deviation = vectors.std(0, dtype=np.float64)
        # A feature that never changes carries nothing, whatever it is divided by.
        self.deviation = np.where(deviation > 0, deviation, 1.0)

    def __call__(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return scaled features, ``[n, D]``."""
        return (vectors - self.mean) / self.deviation
