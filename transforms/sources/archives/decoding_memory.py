"""Limits that also hold memory for the pixels that they let through."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from beamscope.transforms.memory import DECODING
from beamscope.transforms.sources.archives.members import Limits

# What decoding a pixel takes at most, measured: 16 bits of RGBA, or of grey and its levels, and
# what is computed from them (docs/reliability.md).
BYTES_A_PIXEL = 20


class _Holding:
    """What is held of `DECODING`."""

    size = 0

    def grow(self, size: int) -> None:
        """Hold so many bytes, where it is not as many already: a file may have several headers."""
        if size > self.size:
            # Given back first: whoever holds some must not wait for more.
            DECODING.give_back(self.size)
            self.size = 0
            DECODING.take(size)
            self.size = size


@dataclasses.dataclass(frozen=True)
class HeldLimits(Limits):
    """Limits of one image, whose `check_pixels` waits for the memory of its pixels.

    An image of many pixels then waits until others are decoded. It is for one thread, and holds
    the memory until the body of `held` ends.
    """

    _holding: _Holding = dataclasses.field(default_factory=_Holding)

    def check_pixels(self, width: int, height: int) -> None:
        """Raise ``too_many_pixels``, or hold the memory of that many pixels."""
        super().check_pixels(width, height)
        self._holding.grow(width * height * BYTES_A_PIXEL)


@contextlib.contextmanager
def held(limits: Limits) -> Iterator[HeldLimits]:
    """Return limits for decoding one image in the body."""
    holding = _Holding()
    try:
        yield HeldLimits(
            limits.max_member_bytes, limits.max_compression_ratio, limits.max_pixels, holding
        )
    finally:
        DECODING.give_back(holding.size)
