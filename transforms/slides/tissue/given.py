"""Lay the mask that a user gave over a slide's thumbnail."""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.tissue.detection import tissue_fraction
from beamscope.transforms.slides.tissue.masks import Mask, Placement, read_mask
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Pixels of a mask image across one of the thumbnail: so many suffice for the part that is tissue.
_FINER = 2


@dataclasses.dataclass(frozen=True, eq=False)
class GivenTissue:
    """A mask that lies on a thumbnail.

    Attributes:
      coverage: the part of each pixel of the thumbnail that is tissue, float32 ``[h, w]``, 0 to 1.
      empty_reason: why there is no tissue at all; None where there is some.
    """

    coverage: F32
    empty_reason: str | None
    _mask: Mask
    _place: Placement

    def classes(self, x: F64, y: F64, width: F64, height: F64) -> tuple[str | None, ...] | None:
        """Return the class that has the largest part of each rectangle.

        Of two classes that have the same part it is the first by name.

        Args:
          x: left edges in pixels of the thumbnail, ``[n]``.
          y: top edges, likewise.
          width: of each rectangle.
          height: of each rectangle.

        Returns:
          for each rectangle a name, or None where what has no class is the largest part; None as
          a whole where the mask names no class.
        """
        named = False
        most = np.zeros(len(x), np.float32)
        largest: npt.NDArray[np.object_] = np.full(len(x), None, object)
        for name, coverage in self._mask.by_class(self._place):
            named = True
            part = tissue_fraction(coverage, x, y, width, height)
            larger = part > most
            most[larger], largest[larger] = part[larger], name
        return tuple(largest) if named else None


def lay_mask(
    mask: str,
    slide: str,
    place: Placement,
    *,
    classes: Collection[str] = (),
    cache: FileCache | None = None,
) -> GivenTissue:
    """Read a slide's mask and lay it over the slide's thumbnail.

    Args:
      mask: uri of the mask, local or remote.
      slide: uri of the slide.
      place: where the thumbnail lies on the slide.
      classes: names of the QuPath classes that are tissue; empty for all but ``Ignore*``.
      cache: where local copies of remote masks are kept; None where the mask is local.

    Raises:
      InputError: ``missing_mask``, ``bad_mask`` or ``mask_mismatch``; ``cache_full``.
    """
    dimensions = place.dimensions or place.extent_level0
    # An image covers the slide, or its bounds, which are smaller.
    enough = (
        _FINER * dimensions[0] * place.shape[1] / place.extent_level0[0],
        _FINER * dimensions[1] * place.shape[0] / place.extent_level0[1],
    )
    if _is_same_file(mask, slide):
        raise InputError(Kind.BAD_MASK, f"{mask} is the slide itself, not a mask of it")
    with _local_copy(mask, cache) as local:
        found = read_mask(local, enough=enough, classes=classes)
    coverage = found.coverage(place)
    reason = None if coverage.any() else found.empty_reason or "the mask is empty"
    return GivenTissue(coverage, reason, found, place)


def shown(coverage: F32 | npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels to draw as tissue: half covered; or at all, where that hides most of it."""
    half = coverage >= 0.5
    if 2 * np.count_nonzero(half) < coverage.sum(dtype=np.float64):
        return np.asarray(coverage > 0, bool)
    return np.asarray(half, bool)


@contextlib.contextmanager
def _local_copy(mask: str, cache: FileCache | None) -> Iterator[str | Path]:
    if files.is_local(mask):
        yield mask
        return
    if cache is None:
        raise InputError(Kind.BAD_MASK, f"{mask}: reading remote masks needs a cache")
    try:
        lease = dataclasses.replace(cache, holds="masks").lease(mask, [files.stat(mask)])
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(Kind.MISSING_MASK, one_line(error)) from error
    try:
        yield lease.path
    except InputError as error:
        raise InputError(error.kind, error.message.replace(str(lease.path), mask)) from error
    finally:
        lease.release()


def _is_same_file(mask: str, slide: str) -> bool:
    if mask == slide:
        return True
    if not (files.is_local(mask) and files.is_local(slide)):
        return False
    try:
        # A copy is the same too. Only files of the same size are compared byte by byte.
        return Path(mask).samefile(slide) or (
            Path(mask).stat().st_size == Path(slide).stat().st_size
            and filecmp.cmp(mask, slide, shallow=False)
        )
    except OSError:
        return False
