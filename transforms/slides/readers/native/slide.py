"""The reader that decodes tiles of JPEG and JPEG 2000 itself, each once a block: TIFF and DICOM.

A patch is the same as through OpenSlide. Whatever may differ is refused, and OpenSlide reads it: a
slide, a level of it, or a single tile.
"""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Self

import numpy as np
import numpy.typing as npt

from beamscope.transforms.memory import DECODING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, true_levels
from beamscope.transforms.slides.readers.native.dicom_levels import read_series
from beamscope.transforms.slides.readers.native.jpeg import SCALES
from beamscope.transforms.slides.readers.native.patches import Assembly, PatchSet, Tile
from beamscope.transforms.slides.readers.native.tiff import DICOM, TileLevel, read_levels
from beamscope.transforms.slides.readers.native.tiles import (
    TileBytes,
    decode_tile,
    read_area,
    request_tiles,
)
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.pixels import background_color, resample
from beamscope.transforms.slides.readers.pool import open_planned
from beamscope.transforms.storage import files
from beamscope.transforms.storage.byte_source import ByteSource, LocalSource
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.store import Version

# Of compressed tiles, asked for at a time; two such windows are in memory. A block is one, or two.
_WINDOW_BYTES = 16 << 20
# Patches that are read again by another reader at a time; their pixels are in memory twice.
_PATCHES_AGAIN = 32
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
                raise _lost(error, other) from error
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
        shrinks = _shrinks(level, x, y, read)
        problems: list[InputError | None] = [None] * len(x)
        for shrink in np.unique(shrinks).tolist():
            index = np.flatnonzero(shrinks == shrink)
            side = read.read_px // shrink
            patches = PatchSet(index, x[index] / shrink, y[index] / shrink, side, shrink)
            for band in patches.in_bands(level.tile_height):
                scaled = read.downscale == "decoder"
                for patch, error in self._read(level, band, out, threads, scaled):
                    problems[patch] = error
        if any(problems):
            self._read_again(problems, x_level0, y_level0, read, out, threads)
        return problems

    def tile_streams(
        self,
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        pixels: npt.NDArray[np.uint8],
    ) -> list[bytes | None]:
        """Return the stored JPEG of each patch that is exactly a tile; see `SlideReader`.

        The tile's own header and the tables of its level are merged to a JPEG of its own.
        """
        level = self._stored[read.level]
        streams: list[bytes | None] = [None] * len(x_level0)
        size = level.tile_width, level.tile_height
        decoder = level.decoder
        if size != (read.read_px, read.read_px) or read.patch_px != read.read_px:
            return streams
        if not decoder.is_jpeg:
            return streams
        x, y = (np.asarray(edges, np.float64) / level.downsample for edges in (x_level0, y_level0))
        exact = (x % size[0] == 0) & (y % size[1] == 0) & (x >= 0) & (y >= 0)
        exact &= (x + size[0] <= level.width) & (y + size[1] <= level.height)
        rows = [int(row) for row in np.flatnonzero(exact)]
        places = [(int(y[row]) // size[1], int(x[row]) // size[0]) for row in rows]
        there = [pair for pair in zip(rows, places, strict=True) if level.lengths[pair[1]]]
        requested = request_tiles(self._source, level, [place for _, place in there])
        decoded = np.empty((size[1], size[0], 3), np.uint8)
        for (row, _), data in zip(there, requested, strict=True):
            # What is damaged, or was read by another reader, is not passed on.
            if decode_tile(level, data, 1, decoded) is None and np.array_equal(
                decoded, pixels[row]
            ):
                streams[row] = decoder.stream(data())
        return streams

    def _read_again(
        self,
        problems: list[InputError | None],
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        out: npt.NDArray[np.uint8],
        threads: Executor,
    ) -> None:
        """Read the patches that have a problem by OpenSlide; take out the problems of those read.

        The message of a patch that OpenSlide cannot read either names the tile, as before.
        """
        lost = np.array([row for row, problem in enumerate(problems) if problem])
        other = self._other()
        if isinstance(other, NotServed):
            for row, problem in enumerate(problems):
                problems[row] = problem and _lost(problem, other)
            return
        for rows in np.array_split(lost, -(-len(lost) // _PATCHES_AGAIN)):
            pixels = np.empty((len(rows), *out.shape[1:]), np.uint8)
            answers = other.read_patches(x_level0[rows], y_level0[rows], read, pixels, threads)
            for row, answer, patch in zip(rows.tolist(), answers, pixels, strict=True):
                if answer is None:
                    out[row] = patch
                    problems[row] = None

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

    def _read(
        self,
        level: TileLevel,
        patches: PatchSet,
        out: npt.NDArray[np.uint8],
        threads: Executor,
        scaled: bool,
    ) -> Iterator[tuple[int, InputError]]:
        """Fill in the patches of a set, and yield those that are lost."""
        assembly = Assembly(level, patches, out, self.background)
        under_way: collections.deque[list[Future[None]]] = collections.deque()
        for runs in _windows(level, assembly.tasks()):
            # While the window before is being decoded.
            places = [(tile.row, tile.column) for run in runs for tile in run]
            requested = iter(request_tiles(self._source, level, places))
            under_way.append(
                [
                    threads.submit(
                        self._decode,
                        level,
                        assembly,
                        list(zip(run, itertools.islice(requested, len(run)), strict=True)),
                        scaled,
                    )
                    for run in runs
                ]
            )
            if len(under_way) > 1:
                _wait_for(under_way.popleft())
        for tasks in under_way:
            _wait_for(tasks)
        yield from assembly.problems()

    def _decode(
        self,
        level: TileLevel,
        assembly: Assembly,
        run: Sequence[tuple[Tile, TileBytes]],
        scaled: bool,
    ) -> None:
        """Decode tiles, and paste them.

        Averaging the tile instead of the patch is the same, because `shrink` divides the tile and
        the patch's edges, and costs half: the pixels are at hand, and fewer are pasted.
        """
        shrink = assembly.shrink
        scale = shrink if scaled else 1
        height, width = level.tile_height, level.tile_width
        with DECODING.hold(level.decoder.bytes_a_pixel * height * width):
            pixels = np.empty((height // scale, width // scale, 3), np.uint8)
            for tile, data in run:
                failure = decode_tile(level, data, scale, pixels)
                if failure is None:
                    assembly.paste(tile, resample(pixels, width // shrink, height // shrink))
                else:
                    assembly.fail(tile, failure)


def _windows(level: TileLevel, runs: Sequence[list[Tile]]) -> Iterator[list[list[Tile]]]:
    """Cut runs of tiles, in their order, into pieces of at most `_WINDOW_BYTES` of tiles."""
    window: list[list[Tile]] = []
    size = 0
    for run in runs:
        length = sum(int(level.lengths[tile.row, tile.column]) for tile in run)
        if window and size + length > _WINDOW_BYTES:
            yield window
            window, size = [], 0
        window.append(run)
        size += length
    if window:
        yield window


def _wait_for(tasks: Sequence[Future[None]]) -> None:
    for task in tasks:
        task.result()


def _lost(error: InputError, other: NotServed) -> InputError:
    return InputError(error.kind, f"{error.message}; OpenSlide was not asked: {other.reason}")


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


def lattice(read: ReadPlan) -> int:
    """Return the grid of level pixels on which a patch must start for the decoder to shrink it.

    Returns:
      2, 4 or 8: both edges must be multiples of it, in pixels of the level that is read; 1 where
      patches are not an eighth, quarter or half of what is read.
    """
    times, rest = divmod(read.read_px, read.patch_px)
    if rest:
        return 1
    return next((scale for scale in SCALES if times % scale == 0), 1)


def _shrinks(
    level: TileLevel, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], read: ReadPlan
) -> npt.NDArray[np.int64]:
    """Return by how much each patch's tiles may be shrunk before they are pasted: int64 ``[n]``.

    Each patch by itself, so that it is the same in whichever block it lies.
    """
    scale = lattice(read)
    if scale == 1 or level.tile_width % scale or level.tile_height % scale:
        return np.ones(len(x), np.int64)
    inside = (x >= 0) & (y >= 0)
    inside &= (x + read.read_px <= level.width) & (y + read.read_px <= level.height)
    return np.where(inside & (x % scale == 0) & (y % scale == 0), scale, 1)
