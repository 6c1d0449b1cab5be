"""Tissue masks that people made: annotations in GeoJSON as QuPath writes it, and mask images."""

from __future__ import annotations

import abc
import dataclasses
import os
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.tissue.detection import tissue_fraction
from beamscope.transforms.slides.tissue.geojson import read_polygons
from beamscope.transforms.slides.tissue.polygons import Polygon, covered_half

Bools = npt.NDArray[np.bool_]

GEOJSON_SUFFIXES = (".geojson", ".geojson.gz", ".json")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg")
ASPECT_TOLERANCE = 0.02  # a mask image is a whole number of pixels, and small ones round a lot


class Mask(abc.ABC):
    """A mask that can be laid over a thumbnail."""

    @abc.abstractmethod
    def rasterize(
        self,
        shape: tuple[int, int],
        *,
        extent_level0: tuple[float, float],
        origin_level0: tuple[float, float] = (0, 0),
        bounds: tuple[float, float, float, float] | None = None,
        dimensions: tuple[float, float] | None = None,
    ) -> Bools:
        """The mask on the grid of a thumbnail: True where half of a pixel or more is tissue.

        Args:
          shape: height and width of the thumbnail, px.
          extent_level0: width and height that the thumbnail covers, level-0 px.
          origin_level0: left and top edge of what it covers, level-0 px.
          bounds: x, y, width and height of ``openslide.bounds-*``, level-0 px; None without.
          dimensions: width and height of level 0, px; None when the thumbnail covers all of it.

        Returns:
          bool ``[h, w]``.

        Raises:
          InputError: ``mask_mismatch`` for an image whose shape is not that of the slide.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class PolygonMask(Mask):
    """Annotated polygons in level-0 pixels; tissue is their union.

    QuPath crops a slide to its bounds, and so counts from their corner where there are any.
    """

    polygons: tuple[Polygon, ...]

    def rasterize(
        self,
        shape: tuple[int, int],
        *,
        extent_level0: tuple[float, float],
        origin_level0: tuple[float, float] = (0, 0),
        bounds: tuple[float, float, float, float] | None = None,
        dimensions: tuple[float, float] | None = None,  # noqa: ARG002 - for images alone
    ) -> Bools:
        """See `Mask.rasterize`."""
        corner = np.array(bounds[:2] if bounds else (0.0, 0.0))
        offset = corner - np.array(origin_level0)
        scale = np.array([shape[1], shape[0]]) / np.array(extent_level0)
        mask = np.zeros(shape, bool)
        for polygon in self.polygons:
            covered_half([(ring + offset) * scale for ring in polygon], mask)
        return mask


@dataclasses.dataclass(frozen=True, eq=False)
class ImageMask(Mask):
    """An image of any resolution, bool ``[h, w]``, that covers the slide or its bounds."""

    pixels: Bools

    def rasterize(
        self,
        shape: tuple[int, int],
        *,
        extent_level0: tuple[float, float],
        origin_level0: tuple[float, float] = (0, 0),
        bounds: tuple[float, float, float, float] | None = None,
        dimensions: tuple[float, float] | None = None,
    ) -> Bools:
        """See `Mask.rasterize`."""
        left, top, width, height = self._covers(dimensions or extent_level0, bounds)
        h, w = self.pixels.shape
        per_x, per_y = w / width, h / height
        step_x = extent_level0[0] / shape[1] * per_x
        step_y = extent_level0[1] / shape[0] * per_y
        x = (origin_level0[0] - left) * per_x + np.arange(shape[1]) * step_x
        y = (origin_level0[1] - top) * per_y + np.arange(shape[0]) * step_y
        fraction = tissue_fraction(self.pixels, x[None, :], y[:, None], step_x, step_y)
        return np.asarray(fraction >= 0.5, bool)

    def _covers(
        self, dimensions: tuple[float, float], bounds: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float]:
        h, w = self.pixels.shape
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
            f"the mask image is {w}x{h} px, another shape than the slide: {sizes} px",
        )


def find_mask(names: Iterable[str], slide_id: str, exclude: Collection[str] = ()) -> str:
    """The name of the slide's mask in a directory's listing: ``<slide_id>.geojson`` and so on.

    Args:
      names: file names, without directories.
      slide_id: what the mask is named after.
      exclude: names that are no masks, such as a slide's own.

    Raises:
      InputError: ``missing_mask`` without any, ``ambiguous_mask`` with several.
    """
    suffixes = GEOJSON_SUFFIXES + IMAGE_SUFFIXES
    found = sorted(
        name
        for name in names
        if name.startswith(slide_id)
        and name[len(slide_id) :].lower() in suffixes
        and name not in exclude
    )
    if not found:
        raise InputError(Kind.MISSING_MASK, f"no mask {slide_id}{{{','.join(suffixes)}}}")
    if len(found) > 1:
        raise InputError(Kind.AMBIGUOUS_MASK, f"several masks for {slide_id}: {', '.join(found)}")
    return found[0]


def read_mask(path: str | os.PathLike[str]) -> Mask:
    """Reads a mask, GeoJSON or an image by the suffix of its name.

    Raises:
      InputError: ``missing_mask`` without the file, ``bad_mask`` when it cannot be used.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        raise InputError(Kind.MISSING_MASK, f"there is no mask {path}")
    if name.endswith(GEOJSON_SUFFIXES):
        return PolygonMask(read_polygons(path))
    if name.endswith(IMAGE_SUFFIXES):
        return _read_image(path)
    suffixes = ", ".join(GEOJSON_SUFFIXES + IMAGE_SUFFIXES)
    raise InputError(Kind.BAD_MASK, f"a mask is one of {suffixes}, not {path}")


def _read_image(path: Path) -> ImageMask:
    try:
        with warnings.catch_warnings():
            # Masks at the resolution of level 0 are large; Pillow's error, at twice that, stays.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                lossy = file.format == "JPEG"
                image: Image.Image = file
                if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
                    image = image.convert("RGBA" if "transparency" in image.info else "RGB")
                has_alpha = image.mode in ("RGBA", "LA")
                values = np.asarray(image)
    except Image.DecompressionBombError as error:
        raise InputError(Kind.BAD_MASK, f"{path} is too large: {one_line(error)}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            Kind.BAD_MASK, f"{path} is no readable image: {one_line(error)}"
        ) from error
    visible = values[..., -1] > 0 if has_alpha else np.True_
    colours = values[..., :-1] if has_alpha else values
    # JPEG surrounds an edge with small values, so that only half of the range tells the sides.
    least = int(colours.max()) // 2 if lossy else 0
    on = colours > least if colours.dtype != bool else colours
    pixels = on.any(axis=2) if on.ndim == 3 else on
    return ImageMask(np.asarray(pixels & visible, bool))
