"""DICOM films: decoded as a radiologist sees them, and nothing of the patient let out.

Of a file only the attributes that describe pixels, a short list and those that the user named are
ever parsed (`specific_tags`), and errors are put in our own words, because pydicom's may quote
values.
"""

from __future__ import annotations

import logging
import re
import warnings

import pydicom
from pydicom import uid
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from beamscope.transforms.memory import INFLATED
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding import attributes
from beamscope.transforms.xrays.decoding.dicom_file import corrupt, is_dicom, open_dicom
from beamscope.transforms.xrays.decoding.dicom_pixels import OVERLAY_BITS, read_pixels
from beamscope.transforms.xrays.decoding.film import DecodeSettings, Film, to_uint8
from beamscope.transforms.xrays.decoding.grey_scale import show
from beamscope.transforms.xrays.decoding.terms import MODALITIES, VIEW_POSITIONS, term

__all__ = ["ALLOWED", "check_keep_tags", "decode_dicom", "is_dicom"]

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
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData", "PaletteColorLookupTableUID",
)  # fmt: skip
_DEFLATED = uid.DeflatedExplicitVRLittleEndian.encode()
# A file meta group has some hundred bytes.
_META_BYTES = 1 << 16
_PYDICOM = re.compile(r"pydicom(\.|$)")
_QUIET = ("ignore", None, Warning, _PYDICOM, 0)


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
    """Decode a DICOM film: modality LUT, then VOI LUT or window, then at most one inversion.

    `settings.window` chooses the second step. ``dicom`` is the file's VOI LUT, else its first
    usable window, else ``minmax``: from the least to the greatest value, padding left out. ``auto``
    is ``dicom`` unless that shows next to nothing of the film, then ``minmax``. MONOCHROME1, or
    PresentationLUTShape INVERSE, means the inversion; a shape of IDENTITY means that there is none.
    Colour becomes its luminance (ITU-R 601).

    Raises:
      InputError: ``corrupt_dicom``, ``no_pixels``, ``multi_frame``, ``too_many_pixels``,
        ``unsupported_dicom``, ``corrupt_image``, ``truncated_image``, ``blank_image``. No message
        quotes an attribute beyond `ALLOWED` and those that say how samples lie in their words.
    """
    if _DEFLATED not in data[:_META_BYTES]:
        return _decode(data, settings)
    # Room for the inflated data set, and while it is put together once more.
    with INFLATED.hold(2 * settings.limits.max_member_bytes):
        return _decode(data, settings)


def _decode(data: bytes, settings: DecodeSettings) -> Film:
    _mute_pydicom()
    wanted: list[str | int] = [*_PIXEL_ATTRIBUTES, *ALLOWED, *settings.keep_tags, *OVERLAY_BITS]
    file = open_dicom(data, wanted, settings.limits)
    file.check_has_pixels()
    dataset = file.dataset
    try:
        photometric = attributes.code(dataset, "PhotometricInterpretation")
        view = term(dataset, "ViewPosition", VIEW_POSITIONS)
        modality = term(dataset, "Modality", MODALITIES)
        kept = {key: _text(dataset, key) for key in settings.keep_tags if key in dataset}
    except Exception as error:  # noqa: BLE001 - hostile bytes make pydicom raise anything
        raise corrupt("its attributes cannot be read", error) from None
    if photometric is None:
        raise InputError(Kind.NO_PIXELS, "the DICOM file holds no pixels")
    stored = read_pixels(file, photometric, settings.limits)
    if stored.white is not None:
        return Film(
            to_uint8(stored.values, 0, stored.white), "dicom", photometric, view, modality, kept
        )
    shown = show(stored, dataset, photometric, settings.window)
    return Film(
        shown.pixels, "dicom", photometric, view, modality, kept, shown.grey_scale, shown.ignored
    )


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    """The value of an attribute that the user named, as it is written where it breaks its VR."""
    raw = dataset.get_item(keyword)
    try:
        return str(dataset[keyword].value)
    except Exception:  # noqa: BLE001 - pydicom raises anything
        value = raw.value if raw is not None else b""
        return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""


def _mute_pydicom() -> None:
    """Keep pydicom, whose warnings quote values, out of logs; again each time, as others undo it.

    Filters that are there are left alone, for other threads rely on them.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PYDICOM.pattern)
