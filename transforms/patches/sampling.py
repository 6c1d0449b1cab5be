"""Seeded samples that do not depend on order: the rows with the smallest hashes."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import numpy.typing as npt

from beamscope.transforms.fingerprints import in_plan


@dataclasses.dataclass(frozen=True)
class Sample:
    """How many patches or films of each item are taken.

    Each has a hash of the seed, the item and its own key, and those with the smallest hashes are
    taken (bottom-k sampling). So a sample of 10 is part of a sample of 20, another item changes
    nothing, and neither does the order in which the patches are listed.

    Attributes:
      size: most that are taken of each item; None for all.
      seed: another seed gives another sample.
      total: most that are taken of all items together, see `total.py`; None for all.
    """

    size: int | None = in_plan(default=None, name="sample")
    seed: int = in_plan(default=0)
    total: int | None = in_plan(default=None, name="sample_total")

    def chosen(self, item_id: str, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Return the indices of the rows that are taken, in ascending order.

        Args:
          item_id: id of the slide or source.
          keys: uint64 ``[n]``, one for each row, all different.
        """
        if self.size is None or len(keys) <= self.size:
            return np.arange(len(keys))
        return np.sort(np.argsort(self.hashes(item_id, keys))[: self.size])

    def hashes(self, item_id: str, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Return the hash of each row, uint64 ``[n]``, all different; arguments as `chosen`."""
        text = f"{self.seed}/{item_id}".encode()
        start = np.uint64(int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))
        return _mixed(_mixed(keys) ^ start)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix bits as SplitMix64 does (Steele, Lea and Flood, 2014): a bijection of 64 bits."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def place_keys(
    x_level0: npt.NDArray[np.integer], y_level0: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint64]:
    """Return a key for each patch from its place, uint64 ``[n]``."""
    x, y = (np.asarray(edges, np.int64).astype(np.uint32) for edges in (x_level0, y_level0))
    return (x.astype(np.uint64) << np.uint64(32)) | y.astype(np.uint64)


def name_keys(names: list[str]) -> npt.NDArray[np.uint64]:
    """Return a key for each name, uint64 ``[n]``; two names have one with a chance of 2^-64."""
    digests = (hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8] for name in names)
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.uint64)
