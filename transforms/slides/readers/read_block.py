"""Reading the patches of a block into one array of pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.blocks import ImageBlock
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.planning.resolution import ReadPlan

# Reads patches into an array: left and top edges (level-0 pixels, ``[n]``), how each is read, where
# they are put (uint8 RGB ``[n, patch_px, patch_px, 3]``), and the threads to use. Says for each why
# it could not be read, or None. `SlideReader.read_patches` is one, `NativeSlide.read_patches` too.
ReadPatches = Callable[
    [
        npt.NDArray[np.int32],
        npt.NDArray[np.int32],
        ReadPlan,
        npt.NDArray[np.uint8],
        Executor,
    ],
    list[InputError | None],
]


def read_block(block: SlideBlock, read_patches: ReadPatches, threads: Executor) -> ImageBlock:
    """Reads every patch of a block; one that cannot be read becomes a problem.

    Args:
      block: which patches.
      read_patches: of the reader of the block's slide.
      threads: where patches are read side by side; not the one that this runs on.

    Returns:
      the patches that could be read, in the block's order.
    """
    side = block.read.patch_px
    pixels = np.empty((len(block), side, side, 3), np.uint8)
    errors = read_patches(block.x_level0, block.y_level0, block.read, pixels, threads)
    return _assemble(block, pixels, errors)


def unreadable_block(block: SlideBlock, error: InputError) -> ImageBlock:
    """The block without a single patch, for a slide that can no longer be opened."""
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
