"""Where a slide has tissue: by the user's mask, by its colours, or everywhere."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import SlideReader
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tissue.detection import find_tissue
from beamscope.transforms.slides.tissue.given import GivenTissue, lay_mask
from beamscope.transforms.slides.tissue.masks import Placement
from beamscope.transforms.slides.tissue.thumbnail import Thumbnail
from beamscope.transforms.storage.cache import FileCache

# How far from an unreadable place tissue is not decided, but assumed: some pixels of that.
UNSURE_UM = 64.0

BOUNDS_X = "openslide.bounds-x"


def given_tissue(
    thumbnail: Thumbnail,
    slide: SlideReader,
    request: SlideRequest,
    settings: SlideSettings,
    cache: FileCache | None,
) -> GivenTissue | None:
    """Lay the user's mask on the thumbnail; None where tissue is found in another way.

    Args:
      thumbnail: on whose pixels the mask is laid.
      slide: that it shows.
      request: has the mask.
      settings: how tissue is found.
      cache: where local copies of remote masks are kept; None where all are local.

    Raises:
      InputError: ``missing_mask``; or as `lay_mask`.
    """
    if settings.tissue != "mask":
        return None
    if request.mask is None:
        if settings.otsu_without_mask:
            return None
        raise InputError(
            Kind.MISSING_MASK,
            "neither the manifest nor --masks has a mask for it; "
            "--tissue mask_or_otsu finds the tissue of such slides",
        )
    region = thumbnail.region
    bounds = None
    if BOUNDS_X in slide.properties:
        bounds = (region.x, region.y, region.width, region.height)
    height, width = thumbnail.scanned.shape
    place = Placement(
        (height, width),
        extent_level0=(region.width, region.height),
        origin_level0=(region.x, region.y),
        bounds=bounds,
        dimensions=slide.dimensions,
    )
    return lay_mask(request.mask, request.uri, place, classes=settings.mask_classes, cache=cache)


def tissue_mask(
    thumbnail: Thumbnail, settings: SlideSettings, slide_mpp: float
) -> npt.NDArray[np.bool_]:
    """Return where the tissue is, bool ``[h, w]`` on the thumbnail's pixels.

    What could not be read counts as tissue: its patches are then tried, and each that is really
    unreadable is reported, rather than left out in silence.
    """
    if settings.tissue == "none":
        return thumbnail.scanned
    mpp = slide_mpp * thumbnail.scale_x
    known = thumbnail.scanned & ~thumbnail.unreadable
    tissue = find_tissue(
        thumbnail.rgb,
        mpp=mpp,
        scanned=known,
        threshold=settings.tissue_threshold,
        min_object_um2=settings.min_object_um2,
        min_hole_um2=settings.min_hole_um2,
    ).mask
    return tissue | unsure_area(thumbnail, mpp)


def unsure_area(thumbnail: Thumbnail, mpp: float) -> npt.NDArray[np.bool_]:
    """Return what could not be seen of a slide, and what lies so near that tissue is unsure there.

    Smoothing and the filling of holes are unsure beside it.

    Args:
      thumbnail: of the slide.
      mpp: its resolution, µm/px.
    """
    if not thumbnail.unreadable.any():
        return thumbnail.unreadable
    # Beside what could not be seen, smoothing and the filling of holes are unsure too.
    side = 2 * min(round(UNSURE_UM / mpp), max(thumbnail.unreadable.shape)) + 1
    unsure = cv2.dilate(thumbnail.unreadable.astype(np.uint8), np.ones((side, side), np.uint8))
    return unsure.astype(np.bool_)
