"""Read by another reader, OpenSlide, the patches of tiles that the native one cannot decode."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import ReadPlan

# Patches that are read again by another reader at a time; their pixels are in memory twice.
_PATCHES_AGAIN = 32


def read_again(
    other: SlideReader | NotServed,
    problems: list[InputError | None],
    x_level0: npt.NDArray[np.integer],
    y_level0: npt.NDArray[np.integer],
    read: ReadPlan,
    out: npt.NDArray[np.uint8],
    threads: Executor,
) -> None:
    """Read the patches that have a problem by OpenSlide; take out the problems of those read.

    A patch that OpenSlide cannot read either keeps its message, which names the tile.
    """
    lost = np.array([row for row, problem in enumerate(problems) if problem])
    if isinstance(other, NotServed):
        for row, problem in enumerate(problems):
            problems[row] = problem and not_asked(problem, other)
        return
    for rows in np.array_split(lost, -(-len(lost) // _PATCHES_AGAIN)):
        pixels = np.empty((len(rows), *out.shape[1:]), np.uint8)
        answers = other.read_patches(x_level0[rows], y_level0[rows], read, pixels, threads)
        for row, answer, patch in zip(rows.tolist(), answers, pixels, strict=True):
            if answer is None:
                out[row] = patch
                problems[row] = None


def not_asked(error: InputError, other: NotServed) -> InputError:
    """Return the error of a region, with the reason why OpenSlide could not be asked for it."""
    return InputError(error.kind, f"{error.message}; OpenSlide was not asked: {other.reason}")
