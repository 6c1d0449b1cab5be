"""Pictures of rows, read from the slides, archives and folders where they are."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.image_files.pixels import resample
from beamscope.transforms.images.decode import decode_image
from beamscope.transforms.images.names import IMAGE_NAMES
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.pool import open_planned
from beamscope.transforms.sources.archives.members import Limits, Member
from beamscope.transforms.sources.archives.read_source import SourceReader, list_members
from beamscope.transforms.sources.sources import Source, archive_kind
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.names import FILM_NAMES

Rgb = npt.NDArray[np.uint8]

# Films are shown at most so large.
_LARGEST_PX = 320


class Pictures:
    """Read the pictures of rows of a dataset.

    Args:
      dataset: of the rows.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
    """

    def __init__(self, dataset: Dataset, cache: FileCache | None = None) -> None:
        self._dataset = dataset
        self._cache = cache

    def read(self, row: Mapping[str, Any]) -> Rgb:
        """Return uint8 RGB of a patch as it was cut, or of a film or image made smaller.

        Args:
          row: columns of the row.

        Raises:
          InputError: the slide or file is gone, or cannot be read.
        """
        if self._dataset.table_name == "slides":
            return self._patch(row)
        return _smaller(self._image(row["source"], row["member"]))

    @functools.cached_property
    def _slides(self) -> dict[str, dict[str, Any]]:
        return {row["slide_id"]: row for row in self._dataset.slides.to_pylist()}

    def _patch(self, row: Mapping[str, Any]) -> Rgb:
        slide = self._slides[row["slide_id"]]
        options = self._dataset.description["options"]
        scaled = slide["reader"].endswith("_scaled")
        read = ReadPlan(
            slide["level"],
            slide["downsample"],
            slide["read_px"],
            options["patch_px"],
            slide["mpp_requested"],
            slide["mpp_level"],
            "decoder" if scaled else "area",
        )
        reader = open_planned(
            slide["reader"].removesuffix("_scaled"), slide["uri"], cache=self._cache
        )
        pixels = np.empty((1, read.patch_px, read.patch_px, 3), np.uint8)
        x, y = (np.array([row[name]]) for name in ("x_level0", "y_level0"))
        with ThreadPoolExecutor(1) as threads:
            (problem,) = reader.read_patches(x, y, read, pixels, threads)
        if problem is not None:
            raise problem
        return pixels[0]

    def _image(self, uri: str, name: str) -> Rgb:
        kind = archive_kind(uri) or "directory"
        if kind == "tgz":
            raise InputError(
                Kind.UNREADABLE_FILE, f"{uri}: is compressed as a whole; no picture is read from it"
            )
        source = Source(uri, uri, kind)
        member = Member(0, name, 0, 0) if kind == "directory" else self._member(source, name)
        with contextlib.closing(SourceReader(source, Limits())) as reader:
            data = reader.read_member(member)
        if self._dataset.description["job"] == "xrays":
            grey = decode_film(data, DecodeSettings()).pixels
            return np.repeat(grey[:, :, None], 3, axis=2)
        return decode_image(data, Limits()).pixels

    def _member(self, source: Source, name: str) -> Member:
        members = _members(source, self._dataset.description["job"] == "xrays")
        if name not in members:
            raise InputError(Kind.UNREADABLE_FILE, f"{source.uri}: holds no {name!r} (any more)")
        return members[name]


@functools.lru_cache(maxsize=4)
def _members(source: Source, films: bool) -> dict[str, Member]:
    listing = list_members(source, Limits(), FILM_NAMES if films else IMAGE_NAMES)
    if not listing.members and listing.archive_problems:
        problem = listing.archive_problems[0]
        raise InputError(Kind.UNREADABLE_FILE, problem.message)
    return {member.name: member for member in listing.members}


def _smaller(pixels: Rgb) -> Rgb:
    height, width = pixels.shape[:2]
    scale = _LARGEST_PX / max(height, width)
    if scale >= 1:
        return pixels
    return resample(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
