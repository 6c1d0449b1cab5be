"""DICOM films: decoded as a radiologist sees them, and nothing of the patient let out.

Of a file only the attributes that describe pixels, a short list and those that the user named are
ever parsed (`specific_tags`), and errors are put in our own words, because pydicom's may quote
values.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.archives.members import Limits
from beamscope.transforms.xrays.decoding.dicom_pixels import read_pixels
from beamscope.transforms.xrays.decoding.film import DecodeSettings, Film, luminance, to_uint8

# The only attributes whose values leave a file unasked.
ALLOWED = ("ViewPosition", "Modality", "PhotometricInterpretation", "Rows", "Columns")
_PIXEL_ATTRIBUTES = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData",
)  # fmt: skip
# A code string (VR CS), which is all that the allowed attributes may hold.
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_PYDICOM = re.compile(r"pydicom(\.|$)")
_QUIET = ("ignore", None, Warning, _PYDICOM, 0)
# Of a film that a window shows, the middle nine tenths of the pixels span at least this much of
# the grey scale; a window that leaves less is taken for a wrong one.
_LEAST_SPAN = 0.1

Values = npt.NDArray[np.float64]


def is_dicom(data: bytes) -> bool:
    """Whether a file has the preamble of DICOM part 10; its name does not matter."""
    return data[128:132] == b"DICM"


def check_keep_tags(keywords: tuple[str, ...]) -> None:
    """Refuse names that are no DICOM keywords, such as ``PatientId`` for ``PatientID``.

    Raises:
      InputError: ``unknown_tag``.
    """
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if not keyword or tag is None or keyword_for_tag(tag) != keyword:
            raise InputError(
                Kind.UNKNOWN_TAG, f"{keyword!r} is not the keyword of a DICOM attribute"
            )


def decode_dicom(data: bytes, settings: DecodeSettings) -> Film:
    """Decode a DICOM film: modality LUT, then VOI LUT or window, then one inversion.

    `settings.window` chooses the second step. ``dicom`` is the file's VOI LUT, else its first
    window, else ``minmax``: from the least to the greatest value, padding left out. ``auto`` is
    ``dicom`` unless that leaves the film next to nothing (see `_LEAST_SPAN`), then ``minmax``.
    MONOCHROME1, and PresentationLUTShape INVERSE with it or without, mean the one inversion.
    Colour becomes its luminance (ITU-R 601).

    Raises:
      InputError: ``corrupt_dicom``, ``no_pixels``, ``multi_frame``, ``too_many_pixels``,
        ``unsupported_dicom``, ``corrupt_image``. No message quotes an attribute beyond `ALLOWED`.
    """
    _mute_pydicom()
    _check_deflated(data, settings.limits)
    wanted = [*_PIXEL_ATTRIBUTES, *ALLOWED, *settings.keep_tags]
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=list(dict.fromkeys(wanted)))
        photometric = _code(dataset, "PhotometricInterpretation")
        view, modality = _code(dataset, "ViewPosition"), _code(dataset, "Modality")
        kept = {key: str(dataset[key].value) for key in settings.keep_tags if key in dataset}
    except Exception as error:  # noqa: BLE001 - hostile bytes make pydicom raise anything
        raise _corrupt("its attributes cannot be read", error) from None
    if photometric is None:
        raise InputError(Kind.NO_PIXELS, "the DICOM file holds no pixels")
    stored = read_pixels(dataset, photometric, settings.limits)
    try:
        pixels = _to_grey(stored, dataset, photometric, settings)
    except Exception as error:  # noqa: BLE001 - likewise, in damaged look-up tables
        raise _corrupt("its look-up tables or window cannot be applied", error) from None
    return Film(pixels, "dicom", photometric, view, modality, kept)


def _to_grey(
    stored: npt.NDArray[Any], dataset: pydicom.Dataset, photometric: str, settings: DecodeSettings
) -> npt.NDArray[np.uint8]:
    if stored.ndim == 3 or photometric == "PALETTE COLOR":
        return _colour_to_grey(stored, dataset, photometric)
    padding = _padding(stored, dataset)
    values = np.asarray(apply_modality_lut(stored, dataset))
    pixels = None if settings.window == "minmax" else _windowed(values, dataset)
    if pixels is not None and settings.window == "auto":
        low, high = np.percentile(pixels if padding is None else pixels[~padding], (5, 95))
        pixels = None if high - low < _LEAST_SPAN * 255 else pixels
    if pixels is None:
        film = values if padding is None else values[~padding]
        pixels = to_uint8(values, float(film.min()), float(film.max()))
    # Inverting whole grey levels keeps a film and its negative exact opposites.
    if photometric == "MONOCHROME1" or _code(dataset, "PresentationLUTShape") == "INVERSE":
        pixels = 255 - pixels
    return pixels if padding is None else np.where(padding, np.uint8(0), pixels)


def _windowed(values: npt.NDArray[Any], dataset: pydicom.Dataset) -> npt.NDArray[np.uint8] | None:
    """Apply the file's VOI LUT or window; None where it has neither."""
    if dataset.get("VOILUTSequence"):
        shown = apply_voi_lut(values.astype(np.int64), dataset)
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return to_uint8(shown, 0, 2**bits - 1)
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return None
    # Far beyond either end of any window: what pydicom makes of black and of white.
    ends = apply_voi_lut(np.array([-1e12, 1e12]), dataset, prefer_lut=False)
    shown = apply_voi_lut(values, dataset, prefer_lut=False)
    return to_uint8(shown, float(ends[0]), float(ends[1]))


def _padding(stored: npt.NDArray[Any], dataset: pydicom.Dataset) -> npt.NDArray[np.bool_] | None:
    """Where the pixels are padding, by the stored value; None where there is film everywhere.

    A film that is padding from edge to edge has its padding value wrong, and is all film.
    """
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return None
    last = dataset.get("PixelPaddingRangeLimit", first)
    padding = np.asarray((stored >= min(first, last)) & (stored <= max(first, last)))
    return padding if padding.any() and not padding.all() else None


def _colour_to_grey(
    stored: npt.NDArray[Any], dataset: pydicom.Dataset, photometric: str
) -> npt.NDArray[np.uint8]:
    white = 2 ** int(dataset.BitsStored) - 1
    if photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
        white = np.iinfo(stored.dtype).max
    return to_uint8(luminance(stored), 0, white)


def _check_deflated(data: bytes, limits: Limits) -> None:
    """Refuse a deflated file that inflates beyond the limits, which pydicom does not look at.

    Its data follow the file meta group, whose first element gives its length (PS3.10, 7.1).
    """
    meta = data[132:144]
    if len(meta) < 12 or meta[:8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise InputError(Kind.CORRUPT_DICOM, "DICOM: its file meta group has no length")
    start = 144 + struct.unpack("<I", meta[8:])[0]
    if DeflatedExplicitVRLittleEndian.encode() not in data[144:start]:
        return
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = 0
    try:
        while start < len(data) and not engine.eof:
            part = data[start : start + (1 << 18)]
            start += len(part)
            inflated += len(engine.decompress(part, limits.max_member_bytes + 1))
            limits.check_size("the deflated data set", inflated)
            limits.check_ratio("the deflated data set", inflated, start)
    except zlib.error as error:
        raise _corrupt("its deflated data are damaged", error) from None


def _code(dataset: pydicom.Dataset, keyword: str) -> str | None:
    """A code string; None where it is missing or holds anything else, which might name someone."""
    value = str(dataset.get(keyword) or "").strip().upper()
    return value if _CODE.fullmatch(value) else None


def _corrupt(what: str, error: Exception) -> InputError:
    return InputError(Kind.CORRUPT_DICOM, f"DICOM: {what} ({type(error).__name__})")


def _mute_pydicom() -> None:
    """Keep pydicom, whose warnings quote values, out of logs; again each time, as others undo it.

    The exception is a run in RLE data that is too long: pydicom cuts it and warns, and a film that
    was mended is an error. Filters that are there are left alone, for other threads rely on them.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PYDICOM.pattern)
        warnings.filterwarnings("error", message="The decoded RLE segment")
