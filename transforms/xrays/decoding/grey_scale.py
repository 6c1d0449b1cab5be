"""From stored values to the grey levels of a screen: PS3.3 C.11.1, C.11.2 and C.7.6.3.1.2.

First the modality transformation (a table, or slope and intercept), then the VOI transformation (a
table, or the first usable window) or the range of the film, then at most one inversion. What cannot
be used is left out and named: a film is shown by what is left, as dcmtk shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding import attributes
from beamscope.transforms.xrays.decoding.dicom_pixels import Stored
from beamscope.transforms.xrays.decoding.film import GreyScale, Window, to_uint8
from beamscope.transforms.xrays.decoding.look_up_tables import items, read_table

Values = npt.NDArray[np.float64]

# Of a film that a window shows, the middle nine tenths of the pixels span at least this much of
# the grey scale; a window that leaves less is taken for a wrong one.
_LEAST_SPAN = 0.1
_MOST_LEVELS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A film as it is shown.

    Attributes:
      pixels: uint8 ``[rows, columns]``.
      grey_scale: what chose black and white.
      ignored: what the file has and could not be used, in the words of the table of images:
        ``modality_lut``, ``rescale``, ``voi_lut``, ``window``, ``voi_lut_function`` or
        ``pixel_padding``.
    """

    pixels: npt.NDArray[np.uint8]
    grey_scale: GreyScale
    ignored: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Levels:
    """The different stored values of a film, and how many pixels have each; padding has none."""

    values: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]


def show(stored: Stored, dataset: pydicom.Dataset, photometric: str, window: Window) -> Shown:
    """Show a grey film.

    Args:
      stored: its values.
      dataset: its attributes.
      photometric: MONOCHROME1 or MONOCHROME2.
      window: what chooses the second step, see `dicom.decode_dicom`.

    Raises:
      InputError: ``blank_image`` where all of the film ends as one grey.
    """
    ignored = list(stored.ignored)
    levels, paint = _levels(stored)
    values = _modality(levels.values.astype(np.float64), stored, dataset, ignored)
    grey: npt.NDArray[np.uint8] | None = None
    used: GreyScale = "minmax"
    if window != "minmax":
        grey, used = _voi(values, stored, dataset, ignored)
    if grey is not None and window == "auto" and _spans_little(grey, levels.counts):
        ignored.append("voi_lut" if used == "lut" else "window")
        grey = None
    if grey is None:
        grey, used = to_uint8(values, float(values.min()), float(values.max())), "minmax"
    if len(grey) == 0 or grey.min() == grey.max():
        by = {"lut": "its VOI LUT", "window": "its window"}.get(used)
        raise InputError(
            Kind.BLANK_IMAGE,
            f"DICOM: {by} shows all of it in one grey" if by else "DICOM: all pixels are the same",
        )
    # Inverting whole grey levels keeps a film and its negative exact opposites.
    if _is_inverse(dataset, photometric):
        grey = 255 - grey
    return Shown(paint(grey), used, tuple(dict.fromkeys(ignored)))


def _levels(
    stored: Stored,
) -> tuple[_Levels, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]]:
    """The levels of a film, and what paints the film once each level has its grey."""
    values, padding = stored.values, stored.padding
    film = values if padding is None else values[~padding]
    low, high = int(values.min()), int(values.max())
    if values.dtype.kind != "f" and high - low < _MOST_LEVELS:
        counts = np.bincount((film.ravel() - low).astype(np.intp), minlength=high - low + 1)
        present = np.flatnonzero(counts)

        def paint(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            table = np.zeros(high - low + 1, np.uint8)
            table[present] = grey
            shown = table[(values - low).astype(np.intp)]
            return shown if padding is None else np.where(padding, np.uint8(0), shown)

        return _Levels(present.astype(np.int64) + low, counts[present]), paint
    levels, counts = np.unique(film, return_counts=True)

    def search(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        shown = np.zeros(values.shape, np.uint8)
        shown[... if padding is None else ~padding] = grey[np.searchsorted(levels, film)]
        return shown

    return _Levels(levels, counts), search


def _modality(
    values: Values, stored: Stored, dataset: pydicom.Dataset, ignored: list[str]
) -> Values:
    """Apply the modality LUT, else slope and intercept; a slope of 0 makes neither of any use."""
    if items(dataset, "ModalityLUTSequence"):
        table = read_table(dataset, "ModalityLUTSequence", values, signed=stored.bits.signed)
        if table is not None:
            return table.apply(values)
        ignored.append("modality_lut")
    slope, intercept = _rescale(dataset, ignored)
    return values * slope + intercept


def _rescale(dataset: pydicom.Dataset, ignored: list[str]) -> tuple[float, float]:
    slope = attributes.number(dataset, "RescaleSlope")
    intercept = attributes.number(dataset, "RescaleIntercept")
    slope, intercept = (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)
    if slope == 0 or slope != slope or intercept != intercept:
        ignored.append("rescale")
        return 1.0, 0.0
    return slope, intercept


def _voi(
    values: Values, stored: Stored, dataset: pydicom.Dataset, ignored: list[str]
) -> tuple[npt.NDArray[np.uint8] | None, GreyScale]:
    """Apply the VOI LUT, else the first usable window; None where there is neither."""
    slope = 1.0
    lowest = 0.0
    if "modality_lut" in ignored or not items(dataset, "ModalityLUTSequence"):
        slope, intercept = _rescale(dataset, [])
        lowest = min(slope * end + intercept for end in (stored.bits.lowest, stored.bits.highest))
    if items(dataset, "VOILUTSequence"):
        table = read_table(dataset, "VOILUTSequence", values, signed=lowest < 0)
        if table is not None:
            return to_uint8(table.apply(values), 0, table.white), "lut"
        ignored.append("voi_lut")
    function = _function(dataset, ignored)
    centres = attributes.numbers(dataset, "WindowCenter")
    widths = attributes.numbers(dataset, "WindowWidth")
    if centres is None and widths is None:
        return None, "minmax"
    for centre, width in zip(centres or (), widths or (), strict=False):
        shown = _windowed(values, centre, width, function, abs(slope))
        if shown is not None:
            return to_uint8(shown, 0, 1), "window"
        ignored.append("window")
    ignored.append("window")
    return None, "minmax"


def _windowed(
    values: Values, centre: float, width: float, function: str, step: float
) -> Values | None:
    """Apply a window (PS3.3, C.11.2.1.2 and C.11.2.1.3), black to 0 and white to 1.

    A linear window must be 1 or wider. A narrower one is read as LINEAR_EXACT where it is wider
    than a step of the stored values, which a small rescale slope makes smaller than 1.
    """
    if not width > 0 or centre != centre:
        return None
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR_EXACT" or (width < 1 and width > step):
        return (values - centre) / width + 0.5
    if width < 1:
        return None
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _function(dataset: pydicom.Dataset, ignored: list[str]) -> str:
    """The VOI LUT function: LINEAR where it is missing, empty or unknown."""
    if "VOILUTFunction" not in dataset or attributes.is_empty(dataset, "VOILUTFunction"):
        return "LINEAR"
    function = attributes.code(dataset, "VOILUTFunction")
    if function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return function
    ignored.append("voi_lut_function")
    return "LINEAR"


def _spans_little(grey: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> bool:
    order = np.argsort(grey, kind="stable")
    reached = np.cumsum(counts[order])
    low, high = (
        int(grey[order][np.searchsorted(reached, share * reached[-1])]) for share in (0.05, 0.95)
    )
    return high - low < _LEAST_SPAN * 255


def _is_inverse(dataset: pydicom.Dataset, photometric: str) -> bool:
    """Whether low values are bright.

    Presentation LUT Shape says it where there is one (PS3.3, C.11.6), else the photometric
    interpretation: the two mean one inversion, not two.
    """
    shape = attributes.code(dataset, "PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return photometric == "MONOCHROME1"
