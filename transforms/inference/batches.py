"""Any number of images as batches of one size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def padded_batches(
    pixels: npt.NDArray[np.uint8], size: int
) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Cuts images ``[n, H, W, 3]`` into batches of exactly `size`, the last filled up with black.

    Yields:
      the position of a batch's first image, how many of its images are real, and the batch,
      contiguous in memory.
    """
    for start in range(0, len(pixels), size):
        batch = np.ascontiguousarray(pixels[start : start + size])
        count = len(batch)
        if count < size:
            batch = np.pad(batch, [(0, size - count), (0, 0), (0, 0), (0, 0)])
        yield start, count, batch
