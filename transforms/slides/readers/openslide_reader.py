"""Reading a slide through OpenSlide so that an unreadable region costs just that region."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import openslide

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.planning.resolution import ReadPlan
from beamscope.transforms.storage.store import Version

_WHITE = (255, 255, 255)
# Alpha from which on a pixel counts as scanned.
OPAQUE = 128


class OpenedSlide(Protocol):
    """A slide as planning sees it, whoever reads it.

    Attributes:
      vendor: the name of the format, as OpenSlide calls it, such as ``aperio`` or ``dicom``.
      properties: by OpenSlide's names; resolution, bounds and background, where it says them.
      dimensions: width and height of level 0, px.
      level_dimensions: width and height of each level, px.
      level_downsamples: of each level: level-0 pixels per level pixel.
      background: RGB of what was not scanned.
      generation: of a remote slide, where it is known which one is read; else None.
    """

    @property
    def vendor(self) -> str: ...  # noqa: D102
    @property
    def properties(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def dimensions(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]: ...  # noqa: D102
    @property
    def level_downsamples(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def background(self) -> tuple[int, int, int]: ...  # noqa: D102
    @property
    def generation(self) -> Version | None: ...  # noqa: D102

    def read_area(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
        """Reads a region laid on the background, and where anything was scanned.

        Args:
          x_level0: left edge in level-0 pixels.
          y_level0: top edge in level-0 pixels.
          level: which level to read.
          width: in pixels of that level.
          height: in pixels of that level.

        Returns:
          uint8 RGB ``[height, width, 3]``; and bool ``[height, width]``, None where everywhere.

        Raises:
          InputError: ``unreadable_region``.
        """


class SlideReader:
    """An open slide, for use by several threads.

    OpenSlide's errors latch: after one, every later read of that handle fails. A failed read is
    tried once more on a handle of its own, so that no other thread's bad region can spoil it; if
    that succeeds, the new handle serves everyone from then on.

    Args:
      path: of a local file.
      keep: held for as long as the reader, such as the lease of a local copy.

    Raises:
      InputError: ``missing_file``, ``not_a_slide`` or ``unopenable``.
    """

    generation: Version | None = None

    def __init__(self, path: str | Path, keep: object = None) -> None:
        self.path = str(path)
        self._keep = keep
        self._lock = threading.Lock()
        self._handle = self._open()
        self.properties: Mapping[str, str] = dict(self._handle.properties)
        self.dimensions: tuple[int, int] = self._handle.dimensions
        self.level_dimensions: tuple[tuple[int, int], ...] = self._handle.level_dimensions
        self.level_downsamples: tuple[float, ...] = self._handle.level_downsamples
        self.background = background_color(self.properties)

    @property
    def vendor(self) -> str:
        """The name of the format, as OpenSlide calls it, such as ``aperio`` or ``dicom``."""
        return self.properties.get("openslide.vendor", "")

    def read_rgba(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> npt.NDArray[np.uint8]:
        """Reads a region as uint8 RGBA ``[height, width, 4]``, alpha not multiplied in.

        Args:
          x_level0: left edge in level-0 pixels.
          y_level0: top edge in level-0 pixels.
          level: which level to read.
          width: in pixels of that level.
          height: in pixels of that level.

        Raises:
          InputError: ``unreadable_region``.
        """
        where = ((x_level0, y_level0), level, (width, height))
        handle = self._handle
        try:
            return np.asarray(handle.read_region(*where))
        except openslide.OpenSlideError:
            pass
        fresh = self._open()
        try:
            pixels = np.asarray(fresh.read_region(*where))
        except openslide.OpenSlideError as error:
            raise InputError(
                Kind.UNREADABLE_REGION,
                f"{width} x {height} px of level {level} at ({x_level0}, {y_level0}): "
                f"{one_line(error)}",
            ) from error
        with self._lock:
            # The old handle is closed with its last reference: other threads may be reading it.
            if self._handle is handle:
                self._handle = fresh
        return pixels

    def read_rgb(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> npt.NDArray[np.uint8]:
        """Reads a region as uint8 RGB ``[height, width, 3]``, laid on the slide's background."""
        return composite(self.read_rgba(x_level0, y_level0, level, width, height), self.background)

    def read_area(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        """As `OpenedSlide.read_area`."""
        rgba = self.read_rgba(x_level0, y_level0, level, width, height)
        return composite(rgba, self.background), rgba[..., 3] >= OPAQUE

    def read_patches(
        self,
        x_level0: npt.NDArray[np.int32],
        y_level0: npt.NDArray[np.int32],
        read: ReadPlan,
        out: npt.NDArray[np.uint8],
        threads: Executor,
    ) -> list[InputError | None]:
        """Reads patches side by side; OpenSlide releases the interpreter's lock.

        Args:
          x_level0: left edges in level-0 pixels, ``[n]``.
          y_level0: top edges in level-0 pixels, ``[n]``.
          read: how each is read.
          out: uint8 RGB ``[n, patch_px, patch_px, 3]``, where the patches are put.
          threads: where they are read.

        Returns:
          for each patch why it could not be read, or None.
        """

        def read_one(row: int) -> InputError | None:
            corner = int(x_level0[row]), int(y_level0[row])
            try:
                region = self.read_rgb(*corner, read.level, read.read_px, read.read_px)
            except InputError as error:
                return error
            out[row] = resample(region, read.patch_px, read.patch_px)
            return None

        return list(threads.map(read_one, range(len(out))))

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self.path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            if not Path(self.path).exists():
                raise InputError(Kind.MISSING_FILE, f"{self.path}: no such file") from error
            if not os.access(self.path, os.R_OK):
                raise InputError(Kind.UNOPENABLE, f"{self.path}: no permission to read") from error
            raise InputError(
                Kind.NOT_A_SLIDE, f"{self.path}: no format that OpenSlide knows, or cut off"
            ) from error
        except openslide.OpenSlideError as error:
            raise InputError(Kind.UNOPENABLE, f"{self.path}: {one_line(error)}") from error


def background_color(properties: Mapping[str, str]) -> tuple[int, int, int]:
    """What lies behind transparent pixels: ``openslide.background-color`` (hex), else white."""
    text = properties.get("openslide.background-color", "")
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError:
        return _WHITE
    return red, green, blue


def composite(
    rgba: npt.NDArray[np.uint8], background: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Lays uint8 RGBA ``[h, w, 4]`` (alpha not multiplied in) on a colour: uint8 ``[h, w, 3]``."""
    alpha = rgba[..., 3:]
    if (alpha == 255).all():
        return rgba[..., :3]
    # 8-bit "over", rounded to nearest.
    weighted = rgba[..., :3].astype(np.uint32) * alpha
    weighted += np.array(background, np.uint32) * (255 - alpha.astype(np.uint32))
    return ((weighted + 127) // 255).astype(np.uint8)


def resample(rgb: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Scales uint8 ``[h, w, 3]`` to the size given: area averaging down, linear up."""
    if rgb.shape[:2] == (height, width):
        return rgb
    shrinking = rgb.shape[0] >= height and rgb.shape[1] >= width
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    resized: npt.NDArray[np.uint8] = cv2.resize(rgb, (width, height), interpolation=method)
    return resized
