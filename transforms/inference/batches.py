"""Cut any number of images into batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt


def padded_batches(
    pixels: npt.NDArray[np.uint8], size: int
) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """Cut images ``[n, H, W, 3]`` into batches of exactly `size`; pad the last with black.

    Yields:
      the index of a batch's first image, the number of its real images, and the batch, contiguous
      in memory.
    """
    for start in range(0, len(pixels), size):
        batch = np.ascontiguousarray(pixels[start : start + size])
        count = len(batch)
        if count < size:
            batch = np.pad(batch, [(0, size - count), (0, 0), (0, 0), (0, 0)])
        yield start, count, batch


def embed_in_batches(
    call: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]],
    pixels: npt.NDArray[np.uint8],
    size: int,
    features: int,
) -> npt.NDArray[np.float32]:
    """Embed any number of images with a function that takes exactly `size` at a time.

    Args:
      call: takes uint8 ``[size, H, W, 3]`` and returns float32 ``[size, features]``.
      pixels: uint8 ``[n, H, W, 3]``.
      size: images per call.
      features: length of an embedding.

    Returns:
      float32 ``[n, features]``.

    Raises:
      ValueError: the function answers in another shape.
    """
    embeddings = np.empty((len(pixels), features), np.float32)
    for start, count, batch in padded_batches(pixels, size):
        answers = call(batch)
        # NumPy would spread a single answer over all images.
        if answers.shape != (size, features):
            raise ValueError(
                f"the model answered {list(answers.shape)} for {size} images, "
                f"not {[size, features]}"
            )
        embeddings[start : start + count] = answers[:count]
    return embeddings
