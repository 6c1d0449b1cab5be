"""The share of a job that one of several machines does, without any of them knowing the others."""

from __future__ import annotations

import dataclasses
import hashlib
import re

_SLOT = re.compile(r"part-(\d+)-of-(\d+)")


@dataclasses.dataclass(frozen=True)
class Share:
    """One of several disjoint shares, which together are everything.

    What belongs to a share depends on names alone, by a hash: it stays the same when other items
    are requested. Of n items a share of 1/c has n/c, give or take the square root of that.

    Attributes:
      number: of the share, from 1.
      count: number of shares.
    """

    number: int
    count: int

    def takes(self, name: str) -> bool:
        """Return whether what has a name belongs to this share."""
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    @property
    def slot(self) -> str:
        """Return the slot of the lease of this share."""
        return f"part-{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def share_of_slot(slot: str) -> Share | None:
    """Return the share whose lease has a slot; None for another slot."""
    found = _SLOT.fullmatch(slot)
    return Share(int(found[1]), int(found[2])) if found else None


def exclude_each_other(slot: str, other: str, everything: str) -> bool:
    """Return whether two slots must not be held at once.

    Shares of one count are disjoint; those of different counts are not.

    Args:
      slot: of a lease.
      other: of another lease.
      everything: the slot of a job without shares.
    """
    if everything in (slot, other):
        return slot != other
    one, two = share_of_slot(slot), share_of_slot(other)
    return one is not None and two is not None and one.count != two.count
