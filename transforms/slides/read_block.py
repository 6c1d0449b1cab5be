"""Reading the patches of a block into one array of pixels."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.blocks import ImageBlock
from transforms.problems import InputError, Problem
from transforms.slides.plan import SlideBlock
from transforms.slides.reader import SlideReader, resample


def read_block(block: SlideBlock, reader: SlideReader, threads: Executor) -> ImageBlock:
    """Reads every patch of a block; one that cannot be read becomes a problem.

    Args:
      block: which patches.
      reader: of the block's slide.
      threads: where patches are read side by side; OpenSlide releases the interpreter's lock.

    Returns:
      the patches that could be read, in the block's order.
    """
    side = block.read.patch_px
    pixels = np.empty((len(block), side, side, 3), np.uint8)

    def read(row: int) -> Problem | None:
        try:
            pixels[row] = _read_patch(block, reader, row)
        except InputError as error:
            return _problem(block, row, error)
        return None

    problems = list(threads.map(read, range(len(block))))
    return _assemble(block, pixels, problems)


def unreadable_block(block: SlideBlock, error: InputError) -> ImageBlock:
    """The block without a single patch, for a slide that can no longer be opened."""
    side = block.read.patch_px
    problems: list[Problem | None] = [_problem(block, row, error) for row in range(len(block))]
    return _assemble(block, np.empty((len(block), side, side, 3), np.uint8), problems)


def _read_patch(block: SlideBlock, reader: SlideReader, row: int) -> npt.NDArray[np.uint8]:
    read = block.read
    region = reader.read_rgb(
        int(block.x_level0[row]), int(block.y_level0[row]), read.level, read.read_px, read.read_px
    )
    return resample(region, read.patch_px, read.patch_px)


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
    block: SlideBlock, pixels: npt.NDArray[np.uint8], problems: list[Problem | None]
) -> ImageBlock:
    readable = np.array([problem is None for problem in problems], np.bool_)
    return ImageBlock(
        block.key,
        pixels if readable.all() else pixels[readable],
        block.rows().filter(pa.array(readable)),
        len(block),
        tuple(problem for problem in problems if problem is not None),
        uri=block.uri,
    )
