"""A seeded sample of N in total, of the patches of many items: where it ends.

Each patch has a hash (`Sample.hashes`), and the N smallest of all are taken. So each patch has the
same chance, the order of items and the runner change nothing, and a smaller N takes a part of the
same sample. No list of all hashes is needed. First they are counted by their upper 16 bits, which
tells the bin with the N-th smallest. Then the hashes of that bin alone are gathered: one of 65,536,
some 800 of 50 million.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from beamscope.transforms.output.checked_json import read_json, write_json

BINS = 1 << 16
_SHIFT = np.uint64(48)


@dataclasses.dataclass(frozen=True)
class SampleEnd:
    """Where a sample ends.

    Attributes:
      last_hash: the largest hash that is taken; None if all patches are.
      last_item: the last item, by its id, whose patch with this very hash is taken.
      drawn_from: digest of the whole plans, see `drawn.set_digest`; empty where that was not noted.
    """

    last_hash: int | None = None
    last_item: str = ""
    drawn_from: str = ""

    def taken(self, item_id: str, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Return the ascending indices of the patches of an item that are taken.

        Args:
          item_id: id of the item.
          hashes: uint64 ``[n]``, of its patches, all different.
        """
        if self.last_hash is None:
            return np.arange(len(hashes))
        last = np.uint64(self.last_hash)
        return np.flatnonzero(hashes <= last if item_id <= self.last_item else hashes < last)


@dataclasses.dataclass(frozen=True)
class LastBin:
    """The bin of the last hash that is taken.

    Attributes:
      number: of the bin, 0 to `BINS` - 1.
      rank: how many hashes of the bin are taken, from 1.
    """

    number: int
    rank: int

    def hashes(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Return the hashes that are in the bin."""
        return hashes[_bins(hashes) == self.number]

    def end(self, found: Iterable[tuple[str, npt.NDArray[np.uint64]]]) -> SampleEnd:
        """Return where the sample ends.

        Args:
          found: (id of an item, its hashes in the bin), of all items in any order.
        """
        ordered = sorted((int(one), item) for item, hashes in found for one in hashes)
        return SampleEnd(*ordered[self.rank - 1])


def count_bins(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the bins of some hashes, ascending, and how many are in each."""
    return np.unique(_bins(hashes), return_counts=True)


def last_bin(counts: npt.NDArray[np.int64], total: int) -> LastBin | None:
    """Return the bin of the last hash that is taken; None if all are.

    Args:
      counts: int64 ``[BINS]``, how many patches of all items are in each bin.
      total: most patches to take, at least 1.
    """
    ends = np.cumsum(counts)
    if ends[-1] <= total:
        return None
    number = int(np.searchsorted(ends, total))
    return LastBin(number, total - int(ends[number] - counts[number]))


def write_end(path: str, end: SampleEnd) -> None:
    """Write where a sample ends."""
    write_json(path, dataclasses.asdict(end))


def read_end(path: str) -> SampleEnd | None:
    """Read where a sample ends; None if there is no such file.

    Raises:
      DamagedError: it is not what was written.
    """
    content = read_json(path)
    return None if content is None else SampleEnd(**content)


def _bins(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    return (hashes >> _SHIFT).astype(np.intp)
