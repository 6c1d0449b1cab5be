"""The reader that uses OpenSlide. An unreadable region costs that region alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import openslide

from beamscope.transforms.memory import DECODING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, true_levels
from beamscope.transforms.slides.readers.local_copy import lease_slide
from beamscope.transforms.slides.readers.openslide_surface import read_region
from beamscope.transforms.slides.readers.pixels import background_color
from beamscope.transforms.slides.readers.tiff_bounds import check_tiff
from beamscope.transforms.storage import files
from beamscope.transforms.storage.byte_source import LocalSource
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.store import Version

# Of these formats OpenSlide takes directories of the TIFF for levels without a word of the vendor
# on which they are. Of the others it reads in the vendor's own data which images are levels, and
# their sizes may count overlaps of tiles.
_LEVELS_BY_DIRECTORY = ("aperio", "generic-tiff")

# Of a rectangle: OpenSlide's and ours of 4 and 3 bytes, and 32-bit sums where some of it is half
# transparent. Of the tile below it: its pixels as they are decoded, and as RGBA.
_SIDES = ("width", "height")
_BYTES_A_PIXEL, _TILE_BYTES_A_PIXEL = 28, 8


class OpenSlideReader(SlideReader):
    """A slide that OpenSlide reads, from a local file or a local copy of a remote one.

    OpenSlide's errors latch: after one, every later read of that handle fails. A failed read is
    tried once more on a handle of its own, so that no other thread's bad region can spoil it; if
    that succeeds, the new handle serves everyone from then on.

    Args:
      path: of a local file.
      keep: held for as long as the reader, such as the lease of a local copy.

    Raises:
      openslide.OpenSlideError: the file cannot be opened; see `open`.
    """

    def __init__(self, path: str | Path, keep: object = None) -> None:
        self._path = str(path)
        self._keep = keep
        self._lock = threading.Lock()
        self._opened_as = self.key(self._path)
        self._handle = openslide.OpenSlide(self._path)
        self.properties = dict(self._handle.properties)
        self.vendor = self.properties.get("openslide.vendor", "")
        self.dimensions = self._handle.dimensions
        sizes, downsamples = self._handle.level_dimensions, self._handle.level_downsamples
        levels = tuple(
            Level(number, width, height, downsample)
            for number, ((width, height), downsample) in enumerate(
                zip(sizes, downsamples, strict=True)
            )
        )
        self.knows_levels = self.vendor not in _LEVELS_BY_DIRECTORY
        self.levels = true_levels(levels, by_shape=not self.knows_levels)
        self.background = background_color(self.properties)
        self._tile_bytes = _TILE_BYTES_A_PIXEL * max(
            (_tile_pixels(self.properties, number) for number in range(len(sizes))), default=0
        )

    @classmethod
    def open(
        cls, uri: str, *, cache: FileCache | None = None, version: Version | None = None
    ) -> Self | NotServed:
        """Open a slide, a remote one from a local copy; see `SlideReader.open`.

        Raises:
          InputError: also ``missing_file`` where another version is there now; and
            ``impossible_header`` and ``slide_too_large``, see `check_tiff`.
        """
        lease = None if files.is_local(uri) else lease_slide(uri, cache, version)
        path = uri if lease is None else str(lease.path)
        _check_claims(path)
        try:
            return cls(path, keep=lease)
        except openslide.OpenSlideUnsupportedFormatError as error:
            if not Path(path).exists():
                raise InputError(Kind.MISSING_FILE, f"{uri}: no such file") from error
            if not os.access(path, os.R_OK):
                raise InputError(Kind.UNOPENABLE, f"{uri}: no permission to read") from error
            return NotServed(f"{uri}: no format that OpenSlide knows, or cut off", Kind.NOT_A_SLIDE)
        except openslide.OpenSlideError as error:
            return NotServed(f"{uri}: {one_line(error).replace(path, uri)}", Kind.UNOPENABLE)

    def read_area(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
        """Read a rectangle; see `SlideReader.read_area`.

        Raises:
          InputError: ``unreadable_region``; ``missing_file`` where the file has been replaced.
        """
        where = ((x_level0, y_level0), level, (width, height))
        with DECODING.hold(width * height * _BYTES_A_PIXEL + self._tile_bytes):
            handle = self._handle
            try:
                return read_region(handle, *where, self.background)
            except openslide.OpenSlideError:
                pass
            if self.key(self._path) != self._opened_as:
                raise InputError(Kind.MISSING_FILE, f"{self._path}: replaced since it was opened")
            try:
                fresh = openslide.OpenSlide(self._path)
                area = read_region(fresh, *where, self.background)
            except openslide.OpenSlideError as error:
                raise InputError(
                    Kind.UNREADABLE_REGION,
                    f"{width} x {height} px of level {level} at ({x_level0}, {y_level0}): "
                    f"{one_line(error)}",
                ) from error
            with self._lock:
                # The old handle is closed with its last reference: others may be reading it.
                if self._handle is handle:
                    self._handle = fresh
            return area

    def close(self) -> None:
        """Close the file; nobody reads from the slide any more."""
        self._handle.close()


def _tile_pixels(properties: Mapping[str, str], level: int) -> int:
    sides = (properties.get(f"openslide.level[{level}].tile-{side}") for side in _SIDES)
    try:
        width, height = (int(side or 0) for side in sides)
    except ValueError:
        return 0
    return width * height


def _check_claims(path: str) -> None:
    """Check what the directories of a TIFF claim, which OpenSlide believes."""
    if not Path(path).is_file():
        return
    try:
        source = LocalSource(path)
    except InputError:
        return  # OpenSlide fails at it too, and its caller says why
    try:
        check_tiff(source)
    finally:
        source.close()
