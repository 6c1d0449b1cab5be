"""Tissue masks that people made: annotations in GeoJSON as QuPath writes it, and mask images."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.tissue.detection import tissue_fraction
from beamscope.transforms.slides.tissue.geojson import Area, choose_areas, read_areas
from beamscope.transforms.slides.tissue.mask_image import read_mask_image
from beamscope.transforms.slides.tissue.mask_names import GEOJSON_SUFFIXES, MASK_SUFFIXES
from beamscope.transforms.slides.tissue.mask_values import MaskImage
from beamscope.transforms.slides.tissue.polygons import add_coverage

F32 = npt.NDArray[np.float32]

ASPECT_TOLERANCE = 0.02  # a mask image is a whole number of pixels, and small ones round a lot
# Coverage is kept in these steps, so that sums of it are exact in float64.
_HALF = 0.5
_STEPS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a thumbnail lies on its slide.

    Attributes:
      shape: height and width of the thumbnail, px.
      extent_level0: width and height that it covers, level-0 px.
      origin_level0: left and top edge of what it covers, level-0 px.
      bounds: x, y, width and height of ``openslide.bounds-*``, level-0 px; None without.
      dimensions: width and height of level 0, px; None when the thumbnail covers all of it.
    """

    shape: tuple[int, int]
    extent_level0: tuple[float, float]
    origin_level0: tuple[float, float] = (0, 0)
    bounds: tuple[float, float, float, float] | None = None
    dimensions: tuple[float, float] | None = None


class Mask(abc.ABC):
    """A mask that can be laid over a thumbnail.

    Attributes:
      empty_reason: why the mask has no tissue, where more is known than that.
    """

    empty_reason: str | None = None

    @abc.abstractmethod
    def coverage(self, place: Placement) -> F32:
        """Return the part of each pixel of a thumbnail that is tissue: float32 ``[h, w]``, 0 to 1.

        Raises:
          InputError: ``mask_mismatch`` for an image whose shape is not that of the slide.
        """

    @abc.abstractmethod
    def by_class(self, place: Placement) -> Iterator[tuple[str | None, F32]]:
        """Yield name and coverage of each class, and of what has none; nothing without classes."""


@dataclasses.dataclass(frozen=True, eq=False)
class PolygonMask(Mask):
    """Annotated areas in level-0 pixels; tissue is their union.

    QuPath crops a slide to its bounds, and so counts from their corner where there are any.
    """

    areas: tuple[Area, ...]
    empty_reason: str | None = None

    def coverage(self, place: Placement) -> F32:
        """See `Mask.coverage`. Where areas overlap within a pixel, their parts are added."""
        return _coverage(self.areas, place)

    def by_class(self, place: Placement) -> Iterator[tuple[str | None, F32]]:
        """See `Mask.by_class`. Names come in their order, what has none last."""
        names = {area.name for area in self.areas}
        if names == {None}:
            return
        for name in sorted(names, key=lambda name: (name is None, name)):
            yield name, _coverage([area for area in self.areas if area.name == name], place)


def _coverage(areas: Collection[Area], place: Placement) -> F32:
    corner = np.array(place.bounds[:2] if place.bounds else (0.0, 0.0))
    offset = corner - np.array(place.origin_level0)
    scale = np.array(place.shape[::-1]) / np.array(place.extent_level0)
    total = np.zeros(place.shape, np.float64)
    add_coverage((tuple((ring + offset) * scale for ring in area.polygon) for area in areas), total)
    return _in_steps(total)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageMask(Mask):
    """An image of any resolution that covers the slide or its bounds."""

    image: MaskImage

    def coverage(self, place: Placement) -> F32:
        """See `Mask.coverage`: 1 where at least half of a pixel is covered, else 0.

        The edge of an image is as coarse as its pixels, so parts of a pixel would say too much.
        """
        image = self.image
        left, top, width, height = self._covers(
            place.dimensions or place.extent_level0, place.bounds
        )
        per_x, per_y = image.width / width, image.height / height
        h, w = place.shape
        step_x, step_y = place.extent_level0[0] / w * per_x, place.extent_level0[1] / h * per_y
        x = (place.origin_level0[0] - left) * per_x + np.arange(w) * step_x
        y = (place.origin_level0[1] - top) * per_y + np.arange(h) * step_y
        covered = tissue_fraction(image.pixels, x[None, :], y[:, None], step_x, step_y)
        return np.asarray(_in_steps(covered) >= _HALF, np.float32)

    def by_class(self, place: Placement) -> Iterator[tuple[str | None, F32]]:  # noqa: ARG002
        """See `Mask.by_class`: an image names no classes."""
        return iter(())

    def _covers(
        self, dimensions: tuple[float, float], bounds: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float]:
        h, w = self.image.height, self.image.width
        whole = (0.0, 0.0, *dimensions)
        for area in (whole, bounds):
            # The tolerance, or half a pixel of rounding where the mask is small.
            if area is not None:
                ratio = (w / h) / (area[2] / area[3])
                if abs(ratio - 1) <= max(ASPECT_TOLERANCE, 0.5 / min(w, h)):
                    return area
        sizes = f"the slide is {dimensions[0]:g}x{dimensions[1]:g}"
        if bounds is not None:
            sizes += f" and its bounds are {bounds[2]:g}x{bounds[3]:g}"
        raise InputError(
            Kind.MASK_MISMATCH,
            f"the mask image is {w:g}x{h:g} px, another shape than the slide: {sizes} px",
        )


def _why_none(areas: Collection[Area], classes: Collection[str]) -> str:
    names = sorted({area.name or "(no class)" for area in areas})
    wanted = f"has no area of the classes {', '.join(classes)}" if classes else "is left out"
    return f"the mask {wanted}; its classes: {', '.join(names)}"


def _in_steps(coverage: npt.NDArray[np.floating]) -> F32:
    return np.asarray(np.rint(np.minimum(coverage, 1) * _STEPS) / _STEPS, np.float32)


def read_mask(
    path: str | os.PathLike[str],
    *,
    enough: tuple[float, float] | None = None,
    classes: Collection[str] = (),
) -> Mask:
    """Read a mask, GeoJSON or an image by the suffix of its name.

    Args:
      path: of a local file.
      enough: width and height in pixels that suffice of an image; None for all that there are.
      classes: names of the QuPath classes that are tissue; empty for all but ``Ignore*``.

    Raises:
      InputError: ``missing_mask`` without the file, ``bad_mask`` when it cannot be used.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        raise InputError(Kind.MISSING_MASK, f"there is no mask {path}")
    if name.endswith(GEOJSON_SUFFIXES):
        areas = read_areas(path)
        chosen = choose_areas(areas, classes)
        return PolygonMask(chosen, None if chosen else _why_none(areas, classes))
    if not name.endswith(MASK_SUFFIXES):
        suffixes = ", ".join(MASK_SUFFIXES)
        raise InputError(Kind.BAD_MASK, f"a mask is one of {suffixes}, not {path}")
    if classes:
        raise InputError(
            Kind.BAD_MASK, f"--mask_classes needs the classes of a GeoJSON mask, and {path} is none"
        )
    return ImageMask(read_mask_image(path, enough))
