"""Resolution in µm/px: that of a slide, and the level that serves a requested one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan

# Outside these no light-microscope scan lies: 0.05 is 200x, 20 is a flat-bed photograph.
MIN_PLAUSIBLE_MPP = 0.05
MAX_PLAUSIBLE_MPP = 20.0
# Pixels of a scanner are square; a larger difference means that one of the two is wrong.
MAX_ANISOTROPY = 1.05
# A 20x scan of 0.52 µm/px serves a request of 0.5; beyond that an image would be made up.
MAX_UPSAMPLING = 1.05

# From here on a number is rather a magnification: 10 µm/px are those of a loupe, 1x.
LARGEST_PATCH_MPP = 10.0

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
    """Return a slide's resolution: the manifest's, its own, its objective's, or the assumed one.

    Args:
      properties: the slide's properties, as OpenSlide names them.
      manifest_mpp: µm/px that the user gave for this slide.
      assume_mpp: µm/px for slides that say nothing.
      allow_implausible: accept an implausible value.

    Raises:
      InputError: ``missing_mpp`` where none is given; ``implausible_mpp`` where the first that is
        given is below 0.05, above 20, or more than 5 % apart in x and y.
    """
    mpp = _first_mpp(properties, manifest_mpp, assume_mpp)
    if mpp is None:
        raise InputError(
            Kind.MISSING_MPP,
            "the slide says neither its resolution nor its objective power; "
            "give its mpp in a manifest, or --assume_mpp",
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
    """Return whether a microscope slide can have that resolution, alike in x and y."""
    low, high = sorted((mpp.x, mpp.y))
    return low >= MIN_PLAUSIBLE_MPP and high <= MAX_PLAUSIBLE_MPP and high <= MAX_ANISOTROPY * low


def plan_reading(
    levels: Sequence[Level],
    slide_mpp: float,
    *,
    mpp: float,
    patch_px: int,
    allow_upsampling: bool = False,
) -> ReadPlan:
    """Choose the coarsest level that is still at least as fine as the request.

    Args:
      levels: of the slide, level 0 first; of equal ones the first is read.
      slide_mpp: level-0 resolution, µm/px.
      mpp: requested resolution, µm/px.
      patch_px: side of a patch at that resolution.
      allow_upsampling: enlarge level 0 where even that is more than 5 % too coarse.

    Raises:
      InputError: ``too_coarse`` where no level is fine enough.
    """
    fitting = [
        level
        for level in levels
        if _read_px(slide_mpp * level.downsample, mpp, patch_px) >= patch_px
    ]
    if not fitting and slide_mpp > MAX_UPSAMPLING * mpp and not allow_upsampling:
        raise InputError(
            Kind.TOO_COARSE,
            f"level 0 has {slide_mpp:g} µm/px, which cannot show {mpp:g} µm/px; "
            f"ask for a coarser --mpp, or --allow_upsampling{_if_magnification(slide_mpp)}",
        )
    level = max(fitting, key=lambda level: level.downsample, default=levels[0])
    mpp_level = slide_mpp * level.downsample
    read_px = _read_px(mpp_level, mpp, patch_px)
    return ReadPlan(level.number, level.downsample, read_px, patch_px, mpp, mpp_level)


def mpp_of_magnification(magnification: float) -> float:
    """Return the µm/px that go with a nominal magnification, by the convention that 10x is 1."""
    return _MPP_AT_1X / magnification


def is_enlarged(read: ReadPlan) -> bool:
    """Return whether patches are read from a level that is coarser than `plan_reading` accepts."""
    return read.mpp_level > MAX_UPSAMPLING * read.mpp_requested


def _if_magnification(mpp: float) -> str:
    """Return a hint for a resolution that only a magnification is as large as; else nothing."""
    if mpp < LARGEST_PATCH_MPP:
        return ""
    return f". If {mpp:g} is its magnification, its mpp is {mpp_of_magnification(mpp):g}"


def _read_px(level_mpp: float, mpp: float, patch_px: int) -> int:
    return max(1, round(patch_px * mpp / level_mpp))
