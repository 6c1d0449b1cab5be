"""The interface of a reader of slides.

A new reader is one file with a subclass of `SlideReader`, and one line in `registry.py` (or an
entry point ``beamscope.readers`` of another package). `testing.py` has the tests that it must pass.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Hashable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.store import Version


@dataclasses.dataclass(frozen=True)
class NotServed:
    """A reader's answer that it does not read a slide or a level; another reader may.

    Attributes:
      reason: for a person, on one line.
      kind: of the problem that the slide has when no other reader serves it.
    """

    reason: str
    kind: Kind = Kind.NOT_SERVED


class SlideReader(abc.ABC):
    """An open slide, for use by several threads at once.

    A subclass sets the attributes when it opens a slide, and writes `open` and `read_area`. The
    other methods have a default that is right; a reader overrides those that it can do better.

    Attributes:
      vendor: the name of the format, as OpenSlide calls it, such as ``aperio`` or ``dicom``.
      properties: by OpenSlide's names: resolution, bounds and background, where the slide has them.
      dimensions: width and height of level 0, px.
      levels: those that show the slide, see `true_levels`; level 0 first, then by downsample.
      knows_levels: whether the vendor's own data says which images are levels. Otherwise their
        shape decides, and what they show.
      background: RGB of all that was not scanned.
      version: of the remote object, where the reader keeps to one; else None.
    """

    vendor: str
    properties: Mapping[str, str]
    dimensions: tuple[int, int]
    levels: tuple[Level, ...]
    background: tuple[int, int, int]
    knows_levels: bool = False
    version: Version | None = None

    @classmethod
    @abc.abstractmethod
    def open(
        cls, uri: str, *, cache: FileCache | None = None, version: Version | None = None
    ) -> Self | NotServed:
        """Open a slide.

        Args:
          uri: of the slide, local or remote.
          cache: where a reader that needs a local path keeps its copies of remote slides.
          version: of the remote object that must be read; None for the one that is there now.

        Returns:
          the open slide, or why this reader does not read it.

        Raises:
          InputError: no reader could read it: ``missing_file`` or ``unopenable`` (no permission);
            ``remote_slide`` or ``cache_full`` where a copy is needed and cannot be made.
        """

    @classmethod
    def open_to_plan(cls, uri: str, *, cache: FileCache | None = None) -> Self | NotServed:
        """Open a slide to plan it, which happens once; by default as `open` does.

        A reader that has to be checked against another one does so here.
        """
        return cls.open(uri, cache=cache)

    @classmethod
    def key(cls, uri: str, version: Version | None = None) -> Hashable:
        """Return what is equal for two openings that may share one open slide.

        A local file that has been replaced has another size or time of change.
        """
        return cls, uri, version, _state(uri)

    def serves_level(self, number: int) -> NotServed | None:
        """Return why a level cannot be read, of those in `levels`; None where it can."""
        del number
        return None

    def can_shrink(self, read: ReadPlan) -> bool:
        """Return whether the decoder can make the patches of a plan smaller by itself."""
        del read
        return False

    def check_plan(self, read: ReadPlan) -> None:
        """Check that the slide still has the level of a plan that was made before.

        Raises:
          InputError: ``not_served``.
        """
        for level in self.levels:
            same = math.isclose(level.downsample, read.downsample, rel_tol=1e-9)
            if level.number == read.level and same:
                refusal = self.serves_level(level.number)
                break
        else:
            refusal = NotServed(f"no level {read.level} of downsample {read.downsample:g} any more")
        if refusal:
            raise InputError(refusal.kind, refusal.reason)

    @abc.abstractmethod
    def read_area(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
        """Read a rectangle, laid on the background.

        The rectangle may reach beyond the level, or lie outside of it; nothing was scanned there.

        Args:
          x_level0: left edge in level-0 pixels.
          y_level0: top edge in level-0 pixels.
          level: number of the level to read; one that `serves_level` serves.
          width: in pixels of that level.
          height: in pixels of that level.

        Returns:
          uint8 RGB ``[height, width, 3]``; and bool ``[height, width]``, where anything was
          scanned, None where all of it was.

        Raises:
          InputError: ``unreadable_region`` where the file is damaged. A later call is not affected.
        """

    def tile_streams(
        self,
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        pixels: npt.NDArray[np.uint8],
    ) -> list[bytes | None]:
        """Return the stored JPEG of each patch that is exactly a tile and decodes to its pixels.

        By default there is none.

        Args:
          x_level0: integers ``[n]``, left edges in level-0 pixels.
          y_level0: integers ``[n]``, top edges in level-0 pixels.
          read: how each was read.
          pixels: uint8 RGB ``[n, patch_px, patch_px, 3]``, the patches as they were read.

        Returns:
          for each patch a JPEG stream that stands alone, or None.
        """
        del y_level0, read, pixels
        return [None] * len(x_level0)

    def read_patches(
        self,
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        out: npt.NDArray[np.uint8],
        threads: Executor,
    ) -> list[InputError | None]:
        """Read squares of one level and scale each to the patch size.

        By default `read_area` for each patch, side by side in threads.

        Args:
          x_level0: integers ``[n]``, left edges in level-0 pixels.
          y_level0: integers ``[n]``, top edges in level-0 pixels.
          read: how each is read.
          out: uint8 RGB ``[n, patch_px, patch_px, 3]``, where the patches are put.
          threads: where they are read. This call waits for them, so that it must not run in one.

        Returns:
          for each patch None, or the ``unreadable_region`` that it has become.

        Raises:
          InputError: ``not_served``, see `check_plan`; or no patch can be read any more.
        """
        self.check_plan(read)

        def read_one(row: int) -> InputError | None:
            x, y, side = int(x_level0[row]), int(y_level0[row]), read.read_px
            try:
                region, _ = self.read_area(x, y, read.level, side, side)
            except InputError as error:
                if error.kind != Kind.UNREADABLE_REGION:
                    raise
                return error
            out[row] = resample(region, read.patch_px, read.patch_px)
            return None

        return list(threads.map(read_one, range(len(out))))

    def close(self) -> None:  # noqa: B027, a reader may hold nothing
        """Let the file go; nobody reads from the slide any more.

        A slide whose last reference is gone closes by itself. By default there is nothing to do.
        """


def _state(uri: str) -> tuple[int, int] | None:
    if not files.is_local(uri):
        return None
    try:
        status = Path(uri).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns
