"""Read the patches of a block into one array of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.readers.base import SlideReader


def read_block(block: SlideBlock, slide: SlideReader, threads: Executor) -> ImageBlock:
    """Read every patch of a block; one that cannot be read becomes a problem.

    Args:
      block: which patches.
      slide: the block's slide.
      threads: where patches are read side by side; this must not run in one of them.

    Returns:
      the patches that could be read, in the block's order.
    """
    side = block.read.patch_px
    pixels = np.empty((len(block), side, side, 3), np.uint8)
    errors = slide.read_patches(block.x_level0, block.y_level0, block.read, pixels, threads)
    return _assemble(block, pixels, errors)


def unreadable_block(block: SlideBlock, error: InputError) -> ImageBlock:
    """Return the block without a single patch, for a slide that can no longer be opened."""
    side = block.read.patch_px
    return _assemble(block, np.empty((len(block), side, side, 3), np.uint8), [error] * len(block))


def _problem(block: SlideBlock, row: int, error: InputError) -> Problem:
    return Problem(
        block.key.item_id,
        block.uri,
        "read",
        error.kind,
        error.message,
        int(block.x_level0[row]),
        int(block.y_level0[row]),
    )


def _assemble(
    block: SlideBlock, pixels: npt.NDArray[np.uint8], errors: Sequence[InputError | None]
) -> ImageBlock:
    readable = np.array([error is None for error in errors], np.bool_)
    return ImageBlock(
        block.key,
        pixels if readable.all() else pixels[readable],
        block.rows().filter(pa.array(readable)),
        len(block),
        tuple(_problem(block, row, error) for row, error in enumerate(errors) if error),
        uri=block.uri,
    )
