"""Labelled units: what a model predicts for."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.target import Target


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """Labelled units: slides, films, images or patients.

    Attributes:
      names: the unit's name, ``[N]``.
      target: labels, ``[N]``.
      groups: number of the unit's patient, ``[N]``.
      patients: name of the unit's patient, ``[N]``; the unit's own where none is known.
    """

    names: tuple[str, ...]
    target: Target
    groups: Ints
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: Ints) -> Units:
        """Return some of the units."""
        return Units(
            tuple(self.names[place] for place in index),
            self.target.take(index),
            self.groups[index],
            tuple(self.patients[place] for place in index),
        )
