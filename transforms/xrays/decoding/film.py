"""A decoded film, and what decoding depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.fingerprints import in_plan
from beamscope.transforms.image_files.strips import in_strips
from beamscope.transforms.sources.archives.members import Limits

Origin = Literal["jpeg", "png", "dicom"]
Window = Literal["auto", "dicom", "minmax"]
GreyScale = Literal["lut", "window", "minmax"]


@dataclasses.dataclass(frozen=True)
class DecodeSettings:
    """What decoding a film depends on.

    Attributes:
      window: how more than 8 bits become 8, see `dicom.decode_dicom`. ``minmax`` also stretches a
        16-bit PNG, whose full range is kept otherwise.
      keep_tags: keywords of the DICOM attributes that leave a file besides the short list.
      limits: what one film may ask for.
    """

    window: Window = in_plan(default="auto")
    keep_tags: tuple[str, ...] = in_plan(default=())
    limits: Limits = dataclasses.field(default_factory=Limits)


@dataclasses.dataclass(frozen=True, eq=False)
class Film:
    """A film as a radiologist sees it: lungs dark, bones bright.

    Attributes:
      pixels: uint8 grey ``[height, width]``, upright.
      origin: what it was decoded from.
      photometric: photometric interpretation of a DICOM; None otherwise.
      view_position: of a DICOM, a word such as ``PA`` or ``OTHER``, see `terms`; None where it is
        not given.
      modality: of a DICOM, such as ``DX``; None where it is not given.
      kept: the attributes that the user asked to keep, as text, by keyword.
      grey_scale: of a DICOM in grey, what chose black and white: ``lut``, ``window`` or ``minmax``;
        of a 16-bit PNG ``minmax`` where it was stretched; None for all others.
      ignored: what a DICOM has for that and could not be used, such as ``window``.
    """

    pixels: npt.NDArray[np.uint8]
    origin: Origin
    photometric: str | None = None
    view_position: str | None = None
    modality: str | None = None
    kept: Mapping[str, str] = dataclasses.field(default_factory=dict)
    grey_scale: GreyScale | None = None
    ignored: tuple[str, ...] = ()


def luminance(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Luma of RGB ``[height, width, 3]`` by ITU-R BT.601, in the range of its input."""
    return in_strips(_luminance, rgb)


def _luminance(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)


def to_uint8(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scale `low` to 0 and `high` to 255, clipped, halves to even; all 0 where they are equal."""
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values

    def scale(some: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        scaled = (some.astype(np.float64) - low) * (255.0 / (high - low))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)

    return in_strips(scale, values)
