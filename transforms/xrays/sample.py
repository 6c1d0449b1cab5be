"""Synthetic chest films for tests, demonstrations and benchmarks: deterministic from a seed.

They look like films from afar (lungs dark, spine and ribs bright, a heart, grain), and stand for
nothing medical.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

# The first moment that a zip can tell: archives of one seed are equal to the byte.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_JPEG_QUALITY = 90
_SMALLEST, _LARGEST = 224, 448


def sample_film(seed: int, index: int = 0, size: int | None = None) -> npt.NDArray[np.uint8]:
    """Draw a film.

    Args:
      seed: of a series of films.
      index: of the film in its series.
      size: height in pixels; 224 to 448 by chance where it is None. The width is near it.

    Returns:
      uint8 grey ``[height, width]``.
    """
    rng = np.random.default_rng((seed, index))
    height = size or int(rng.integers(_SMALLEST, _LARGEST + 1))
    width = round(height * rng.uniform(0.9, 1.15))
    film = np.full((height, width), rng.uniform(120, 150), np.float32)
    middle = width * rng.uniform(0.47, 0.53)

    def ellipse(x: float, y: float, rx: float, ry: float, grey: float, line: int = -1) -> None:
        centre, axes = (int(x), int(y)), (max(1, int(rx)), max(1, int(ry)))
        cv2.ellipse(film, centre, axes, 0, 0, 360, grey, line)

    # Air beside the body, then lungs, heart, diaphragm and spine, from behind to the front.
    ellipse(middle, height * 0.6, width * 0.75, height * 0.95, rng.uniform(25, 45), width // 3)
    for side in (-1, 1):
        reach = rng.uniform(0.2, 0.23)
        ellipse(middle + side * width * 0.22, height * 0.47, width * 0.16, height * reach * 1.5, 55)
    ellipse(middle + width * 0.07, height * 0.62, width * 0.14, height * 0.16, 175)
    ellipse(middle, height * 1.02, width * 0.5, height * 0.24, 190)
    spine = (int(middle - width * 0.035), 0), (int(middle + width * 0.035), height)
    cv2.rectangle(film, *spine, rng.uniform(185, 205), -1)
    ribs = np.zeros_like(film)
    for number in range(9):
        y = height * (0.14 + 0.075 * number + rng.uniform(-0.008, 0.008))
        for side in (-1, 1):
            centre = (int(middle + side * width * 0.22), int(y + height * 0.1))
            axes = (int(width * 0.21), int(height * 0.1))
            cv2.ellipse(ribs, centre, axes, side * 12, 180, 360, 30.0, max(1, height // 60))
    film = cv2.GaussianBlur(film + ribs, (0, 0), height / 90)
    film += rng.standard_normal((height, width), np.float32) * 5
    return np.clip(film, 0, 255).astype(np.uint8)


def sample_jpeg(seed: int, index: int = 0, size: int | None = None) -> bytes:
    """Draw a film as `sample_film` does, and return it as JPEG."""
    film = sample_film(seed, index, size)
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(film[:, :, None]), _JPEG_QUALITY, "GRAY", "Gray"
    )


def sample_members(n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of n films, in the order of their names, four of each patient."""
    for index in range(n):
        yield f"films/p{index // 4:06d}/film_{index:07d}.jpg", sample_jpeg(seed, index)


def write_sample_archive(
    path: Path, kind: Literal["zip", "tar", "tgz"], n: int, seed: int = 0
) -> None:
    """Write an archive of n films, one at a time; only their names stay in memory."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in sample_members(n, seed):
                archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), data)
        return
    with path.open("wb") as file:
        if kind == "tar":
            _write_tar(file, n, seed)
        else:
            # Without a name and a time in its header, the same films are the same bytes.
            with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
                _write_tar(packed, n, seed)


def _write_tar(file: io.BufferedWriter | gzip.GzipFile, n: int, seed: int) -> None:
    with tarfile.open(fileobj=file, mode="w|") as archive:
        for name, data in sample_members(n, seed):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            archive.members = []  # type: ignore[attr-defined]
