"""The reader that decodes tiles of JPEG and JPEG 2000 itself, each once a block: TIFF and DICOM.

A patch is the same as through OpenSlide. Whatever may differ is refused, and OpenSlide reads it: a
slide, a level of it, or a single tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from typing import Self

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, true_levels
from beamscope.transforms.slides.readers.native.dicom_levels import read_series
from beamscope.transforms.slides.readers.native.fallback import not_asked, read_again
from beamscope.transforms.slides.readers.native.patch_reading import PatchReading
from beamscope.transforms.slides.readers.native.shrinking import lattice
from beamscope.transforms.slides.readers.native.streams import tile_streams
from beamscope.transforms.slides.readers.native.tiff import DICOM, TileLevel, read_levels
from beamscope.transforms.slides.readers.native.tiles import (
    decode_tile,
    read_area,
    request_tiles,
)
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.pixels import background_color
from beamscope.transforms.slides.readers.pool import open_planned
from beamscope.transforms.storage import files
from beamscope.transforms.storage.byte_source import ByteSource, LocalSource
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.store import Version

# What a plan takes from the properties; both readers must give the same.
_PLANNED_BY = ("vendor", "mpp-x", "mpp-y", "objective-power", "background-color", "bounds-x")

# Opens the reader that reads what this one refuses; or says why it cannot.
OpenOther = Callable[[], SlideReader | NotServed]


class NativeReader(SlideReader):
    """A slide of JPEG or JPEG 2000 tiles in a TIFF, or frames in DICOM files; see `SlideReader`.

    Args:
      source: of the file, or of several as one; closed with the slide.
      properties: by OpenSlide's names: vendor, resolution and objective power.
      levels: as they are stored.
      open_other: opens the reader that is asked for the tiles that this one refuses.
    """

    def __init__(
        self,
        source: ByteSource,
        properties: dict[str, str],
        levels: list[TileLevel],
        open_other: OpenOther,
    ) -> None:
        self.properties = properties
        self.vendor = properties["openslide.vendor"]
        # By a list in the XML of one, and by ImageType in the headers of the other.
        self.knows_levels = self.vendor in ("philips", "dicom")
        self.levels = true_levels(
            (Level(level.number, level.width, level.height, level.downsample) for level in levels),
            by_shape=not self.knows_levels,
        )
        self.dimensions = levels[0].width, levels[0].height
        self.background = background_color(properties)
        self.version = source.generation
        self._source = source
        self._stored = levels
        self._open_other = open_other

    @classmethod
    def open(
        cls, uri: str, *, cache: FileCache | None = None, version: Version | None = None
    ) -> Self | NotServed:
        """Open a slide on a disk or in a store, where it is read by ranges; see `SlideReader`."""
        source: ByteSource
        source = LocalSource(uri) if files.is_local(uri) else RemoteSource(uri, version)
        open_other = functools.partial(_open_openslide, uri, cache, cls.key(uri), source.generation)
        return cls.of_source(source, open_other, uri)

    @classmethod
    def open_to_plan(cls, uri: str, *, cache: FileCache | None = None) -> Self | NotServed:
        """Open a slide; of a local one OpenSlide must say the same, or say what is wrong with it.

        A remote slide would have to be copied for OpenSlide.
        """
        if not files.is_local(uri):
            return cls.open(uri, cache=cache)
        plain = OpenSlideReader.open(uri)
        if isinstance(plain, NotServed):
            return plain
        slide = cls.of_source(LocalSource(uri), lambda: plain, uri)
        if isinstance(slide, NotServed):
            return slide
        return slide.difference(plain) or slide

    @classmethod
    def of_source(
        cls, source: ByteSource, open_other: OpenOther, uri: str | None = None
    ) -> Self | NotServed:
        """Open a slide from its bytes.

        Args:
          source: of the file; the slide closes it with itself.
          open_other: see the class.
          uri: of the file, for slides of several files: DICOM.
        """
        found = read_levels(source)
        if found is DICOM and uri is not None:
            several = read_series(uri, source)
            if isinstance(several, NotServed):
                return several
            slide = cls(*several, open_other)
        elif isinstance(found, NotServed):
            return found
        else:
            slide = cls(source, *found, open_other)
        return slide.serves_level(0) or slide.probe() or slide

    def serves_level(self, number: int) -> NotServed | None:
        """Return why a level cannot be read natively; None where it can."""
        reason = self._stored[number].not_served
        return NotServed(f"level {number}: {reason}") if reason else None

    def can_shrink(self, read: ReadPlan) -> bool:
        """Return whether the decoder of tiles can shrink the patches of a plan."""
        return lattice(read) > 1

    def difference(self, other: SlideReader) -> NotServed | None:
        """Return what another reader says otherwise about this slide; None where they agree."""
        if self.levels != other.levels:
            ours, theirs = (
                ", ".join(f"{level.width} x {level.height}" for level in reader.levels)
                for reader in (self, other)
            )
            return NotServed(f"levels {ours}, in OpenSlide {theirs}")
        for name in (f"openslide.{name}" for name in _PLANNED_BY):
            one, two = self.properties.get(name), other.properties.get(name)
            if one != two:
                return NotServed(f"{name} {one}, in OpenSlide {two}")
        return None

    def read_area(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
        """Read a rectangle; see `SlideReader.read_area`.

        Raises:
          InputError: ``unreadable_region``, where OpenSlide cannot read it either.
        """
        stored = self._stored[level]
        x, y = x_level0 / stored.downsample, y_level0 / stored.downsample
        try:
            return read_area(self._source, stored, x, y, (width, height), self.background)
        except InputError as error:
            if error.kind != Kind.UNREADABLE_REGION:
                raise
            other = self._other()
            if isinstance(other, NotServed):
                raise not_asked(error, other) from error
            try:
                return other.read_area(x_level0, y_level0, level, width, height)
            except InputError:
                raise error from None

    def read_patches(
        self,
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        out: npt.NDArray[np.uint8],
        threads: Executor,
    ) -> list[InputError | None]:
        """Read patches, and decode each tile that they touch once; see `SlideReader.read_patches`.

        Under ``decoder`` the patches that `lattice` allows are shrunk by the decoder of the tiles.
        They differ from area averaging by a mean of 0.5 grey levels, on sharp slides of 2 to 3;
        those of JPEG 2000, whose lower resolutions are sharper, by 3 to 5 there.

        A patch of a tile that cannot be decoded is read by OpenSlide before it is lost.
        """
        self.check_plan(read)
        level = self._stored[read.level]
        x, y = (np.asarray(edges, np.float64) / level.downsample for edges in (x_level0, y_level0))
        reading = PatchReading(self._source, level, self.background, threads)
        problems = reading.read(x, y, read, out)
        if any(problems):
            read_again(self._other(), problems, x_level0, y_level0, read, out, threads)
        return problems

    def tile_streams(
        self,
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        pixels: npt.NDArray[np.uint8],
    ) -> list[bytes | None]:
        """Return the stored JPEG of each patch that is exactly a tile; see `SlideReader`."""
        level = self._stored[read.level]
        return tile_streams(self._source, level, x_level0, y_level0, read, pixels)

    def _other(self) -> SlideReader | NotServed:
        other = self._open_other()
        if isinstance(other, NotServed):
            return other
        return self.difference(other) or other

    def probe(self) -> NotServed | None:
        """Decode the first tile of level 0 and the largest one, which is hardly a blank one.

        A peculiarity of an encoder is in all of its tiles; OpenSlide is faster then than both.

        Returns:
          why one of them cannot be decoded; None where both can.
        """
        level = self._stored[0]
        present = np.argwhere(level.lengths)
        if not len(present):
            return None
        largest = np.unravel_index(level.lengths.argmax(), level.lengths.shape)
        places = [(int(row), int(column)) for row, column in (present[0], largest)]
        pixels = np.empty((level.tile_height, level.tile_width, 3), np.uint8)
        for place, data in zip(places, request_tiles(self._source, level, places), strict=True):
            if failure := decode_tile(level, data, 1, pixels):
                return NotServed(f"{level.where(*place)}: {failure}")
        return None

    def close(self) -> None:
        """Close the file; nobody reads from the slide any more."""
        self._source.close()


def _open_openslide(
    uri: str, cache: FileCache | None, opened_as: Hashable, version: Version | None
) -> SlideReader | NotServed:
    """Open a slide by OpenSlide, which copies a remote one, as long as it is still the same file.

    Args:
      uri: of the slide.
      cache: where the copy is kept.
      opened_as: `SlideReader.key` of the slide when it was opened.
      version: of the remote object that was opened.
    """
    try:
        slide = open_planned("openslide", uri, cache=cache, version=version)
    except InputError as error:
        return NotServed(error.message, error.kind)
    if NativeReader.key(uri) != opened_as:
        return NotServed(f"{uri}: replaced since it was opened")
    return slide
