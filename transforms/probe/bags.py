"""Bags of patches: the embeddings of each unit, with room for as many as the largest bag."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Ints


@dataclasses.dataclass(frozen=True, eq=False)
class Bags:
    """Embeddings of the patches of units, one after the other.

    Attributes:
      patches: ``[P, D]``, those of a unit are contiguous.
      starts: place of each unit's first patch, ``[N]``.
      counts: number of its patches, ``[N]``, at least 1.
    """

    patches: npt.NDArray[np.float32]
    starts: Ints
    counts: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: Ints) -> Bags:
        """Return the bags of some units; the patches are not copied."""
        return Bags(self.patches, self.starts[index], self.counts[index])

    def rows(self) -> Ints:
        """Return the places of all patches of these bags."""
        return np.concatenate([
            np.arange(start, start + count)
            for start, count in zip(self.starts, self.counts, strict=True)
        ])  # fmt: skip

    def padded(self, index: Ints) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return patches ``[n, most, D]`` of some bags, with zeros, and a mask ``[n, most]``."""
        most = int(self.counts[index].max())
        values = np.zeros((len(index), most, self.patches.shape[1]), np.float32)
        mask = np.zeros((len(index), most), np.float32)
        for place, unit in enumerate(index):
            start, count = self.starts[unit], self.counts[unit]
            values[place, :count] = self.patches[start : start + count]
            mask[place, :count] = 1
        return values, mask
