"""Resolution in µm/px: what a slide has, and which of its levels serves what is asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Outside these no light-microscope scan lies: 0.05 is 200x, 20 is a flat-bed photograph.
MIN_PLAUSIBLE_MPP = 0.05
MAX_PLAUSIBLE_MPP = 20.0
# Pixels of a scanner are square; a larger difference means that one of the two is wrong.
MAX_ANISOTROPY = 1.05
# A 20x scan of 0.52 µm/px serves a request of 0.5; beyond that an image would be made up.
MAX_UPSAMPLING = 1.05

# By convention 10x is 1 µm/px.
_MPP_AT_1X = 10.0
_SAID = ("mpp-x", "mpp-y", "objective-power")


@dataclasses.dataclass(frozen=True)
class SlideMpp:
    """Level-0 resolution of a slide.

    Attributes:
      x: µm/px along x.
      y: µm/px along y.
      source: where it was found: ``manifest``, ``slide``, ``objective`` or ``assumed``.
    """

    x: float
    y: float
    source: str

    @property
    def mean(self) -> float:
        """Geometric mean of both axes, µm/px."""
        return math.sqrt(self.x * self.y)


def resolve_mpp(
    properties: Mapping[str, str],
    *,
    manifest_mpp: float | None = None,
    assume_mpp: float | None = None,
    allow_implausible: bool = False,
) -> SlideMpp:
    """The resolution of a slide: the manifest's, else its own, its objective's, or the assumed one.

    Args:
      properties: the slide's properties, as OpenSlide names them.
      manifest_mpp: µm/px that the user gave for this slide.
      assume_mpp: µm/px for slides that say nothing.
      allow_implausible: take an implausible value as it is.

    Raises:
      InputError: ``missing_mpp`` where nothing says it, ``implausible_mpp`` where the first that
        does says something below 0.05, above 20, or more than 5 % apart in x and y.
    """
    mpp = _first_mpp(properties, manifest_mpp, assume_mpp)
    if mpp is None:
        raise InputError(
            Kind.MISSING_MPP,
            "the slide says neither its resolution nor its objective power; "
            "give an mpp in the manifest, or --assume_mpp",
        )
    usable = all(math.isfinite(value) and value > 0 for value in (mpp.x, mpp.y))
    if not usable or not (allow_implausible or is_plausible(mpp)):
        values = f"{mpp.x:g}" if mpp.x == mpp.y else f"{mpp.x:g} x {mpp.y:g}"
        hint = ", or --allow_implausible_mpp" if usable else ""
        raise InputError(
            Kind.IMPLAUSIBLE_MPP,
            f"{values} µm/px (from: {mpp.source}) is not the resolution of a slide; "
            f"give the right mpp in the manifest{hint}",
        )
    return mpp


def _first_mpp(
    properties: Mapping[str, str], manifest_mpp: float | None, assume_mpp: float | None
) -> SlideMpp | None:
    if manifest_mpp is not None:
        return SlideMpp(manifest_mpp, manifest_mpp, "manifest")
    x, y, power = (properties.get(f"openslide.{name}") for name in _SAID)
    if power is not None and _number(power) > 0:
        # Some programs write 0 for what they do not know.
        x, y = (None if text is not None and _number(text) == 0 else text for text in (x, y))
    if x is not None or y is not None:
        return SlideMpp(
            _number(x if x is not None else y), _number(y if y is not None else x), "slide"
        )
    if power is not None:
        mpp = _MPP_AT_1X / (_number(power) or math.nan)
        return SlideMpp(mpp, mpp, "objective")
    if assume_mpp is not None:
        return SlideMpp(assume_mpp, assume_mpp, "assumed")
    return None


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def is_plausible(mpp: SlideMpp) -> bool:
    """Whether a microscope slide can have that resolution, alike in x and y."""
    low, high = sorted((mpp.x, mpp.y))
    return low >= MIN_PLAUSIBLE_MPP and high <= MAX_PLAUSIBLE_MPP and high <= MAX_ANISOTROPY * low


@dataclasses.dataclass(frozen=True)
class ReadPlan:
    """How every patch of one slide is read: a square of one level, scaled to the patch size.

    Attributes:
      level: pyramid level that is read.
      downsample: of that level: level-0 pixels per level pixel.
      read_px: side of the square that is read, in pixels of that level.
      patch_px: side of the patch that the model sees.
      mpp_requested: what was asked for, µm/px.
      mpp_level: resolution of the level, µm/px.
    """

    level: int
    downsample: float
    read_px: int
    patch_px: int
    mpp_requested: float
    mpp_level: float

    @property
    def mpp_effective(self) -> float:
        """Resolution of the patches, µm/px: the request, but for rounding to whole pixels."""
        return self.mpp_level * self.read_px / self.patch_px

    @property
    def size_level0(self) -> float:
        """Side of a patch in level-0 pixels."""
        return self.read_px * self.downsample


def plan_reading(
    level_downsamples: Sequence[float],
    slide_mpp: float,
    *,
    mpp: float,
    patch_px: int,
    allow_upsampling: bool = False,
) -> ReadPlan:
    """Chooses the coarsest level that is still at least as fine as the request.

    Args:
      level_downsamples: of the slide's levels, 1.0 for level 0.
      slide_mpp: level-0 resolution, µm/px.
      mpp: requested resolution, µm/px.
      patch_px: side of a patch at that resolution.
      allow_upsampling: enlarge level 0 where even that is more than 5 % too coarse.

    Raises:
      InputError: ``too_coarse`` where no level is fine enough.
    """
    fitting = [
        (downsample, level, read_px)
        for level, downsample in enumerate(level_downsamples)
        if (read_px := _read_px(slide_mpp * downsample, mpp, patch_px)) >= patch_px
    ]
    if fitting:
        downsample, level, read_px = max(fitting)
    else:
        downsample, level = 1.0, 0
        read_px = _read_px(slide_mpp, mpp, patch_px)
        if slide_mpp > MAX_UPSAMPLING * mpp and not allow_upsampling:
            raise InputError(
                Kind.TOO_COARSE,
                f"level 0 has {slide_mpp:g} µm/px, which cannot show {mpp:g} µm/px; "
                "ask for a coarser --mpp, or --allow_upsampling",
            )
    return ReadPlan(level, downsample, read_px, patch_px, mpp, slide_mpp * downsample)


def _read_px(level_mpp: float, mpp: float, patch_px: int) -> int:
    return max(1, round(patch_px * mpp / level_mpp))
