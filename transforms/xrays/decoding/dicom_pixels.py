"""The stored values of a DICOM film: from its bytes to integers, by PS3.5 8.1.1.

A sample lies in the bits ``HighBit - BitsStored + 1`` to ``HighBit`` of its word; the others, which
may hold overlays or junk, are no part of it. Words are those of uncompressed and RLE data, and of a
codestream as wide as they. A narrower codestream has the values themselves. One that is wider than
the header says, with values to match, is refused: which of the two is right cannot be known.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.pixels import apply_color_lut
from pydicom.pixels.utils import expand_ybr422

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.xrays.decoding import attributes
from beamscope.transforms.xrays.decoding.dicom_codecs import (
    JPEG,
    JPEG_2000,
    Decoded,
    begins_frame,
    decode_frame,
    decode_rle,
)
from beamscope.transforms.xrays.decoding.dicom_file import DicomFile, corrupt
from beamscope.transforms.xrays.decoding.film import luminance

_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
_COMPRESSED = (*JPEG, *JPEG_2000, uid.RLELossless)
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_YBR = frozenset({"YBR_FULL", "YBR_FULL_422"})
_COLOUR = frozenset({"RGB", "YBR_ICT", "YBR_RCT", *_YBR})
_PALETTE = "PALETTE COLOR"
# Of a lossy codestream: by how much of the range its values may miss the one that they had.
_OVERSHOOT = 1 / 16
# Overlay Bit Position, of up to 16 overlays.
OVERLAY_BITS: tuple[int, ...] = tuple(0x60000102 + (group << 17) for group in range(16))

Ints = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Bits:
    """How a sample lies in its word.

    Attributes:
      allocated: bits of a word.
      stored: bits of a sample.
      high: the highest bit of a sample, counted from 0.
      signed: whether samples are in two's complement.
    """

    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def lowest(self) -> int:
        """The least value that a sample can have."""
        return -(1 << (self.stored - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The greatest value that a sample can have."""
        return self.lowest + (1 << self.stored) - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """The film's values before any look-up table or window.

    Attributes:
      values: ``[rows, columns]``: integers, or the luminance of a colour film.
      bits: what they were read by.
      padding: where the film is padding; None where it is film everywhere.
      white: of a colour film, the luminance of white; None for a grey film.
      ignored: attributes that could not be used.
    """

    values: npt.NDArray[Any]
    bits: Bits
    padding: npt.NDArray[np.bool_] | None = None
    white: float | None = None
    ignored: tuple[str, ...] = ()


def read_pixels(file: DicomFile, photometric: str, limits: Limits) -> Stored:
    """Read the stored values of a film of one frame.

    Raises:
      InputError: ``multi_frame``, ``too_many_pixels``, ``unsupported_dicom``, ``corrupt_dicom``,
        ``corrupt_image`` and ``truncated_image``, in words that quote no attribute but those that
        describe the pixels.
    """
    dataset = file.dataset
    rows, columns, samples = (
        attributes.whole_number(dataset, keyword)
        for keyword in ("Rows", "Columns", "SamplesPerPixel")
    )
    if not rows or not columns:
        raise InputError(Kind.CORRUPT_DICOM, "DICOM: its rows or columns are missing")
    frames = attributes.whole_number(dataset, "NumberOfFrames") or 1
    if frames != 1:
        raise InputError(Kind.MULTI_FRAME, f"the DICOM file holds {frames} frames, a film has one")
    limits.check_pixels(columns, rows)
    name = _check_syntax(file)
    if file.float_bits:
        return _read_floats(file, (rows, columns))
    expected = 1 if photometric in _GREY or photometric == _PALETTE else 3
    if photometric not in _GREY | _COLOUR and photometric != _PALETTE:
        raise InputError(Kind.UNSUPPORTED_DICOM, "its photometric interpretation is not a film's")
    if (samples or expected) != expected:
        raise InputError(
            Kind.UNSUPPORTED_DICOM, f"its photometric interpretation has not {samples} samples"
        )
    bits = _read_bits(dataset)
    layout = _Layout((columns, rows), expected, photometric, bits)
    try:
        if file.syntax in _COMPRESSED or file.encapsulated:
            return _read_encapsulated(file, layout)
        return _read_native(file, layout)
    except InputError as error:
        raise InputError(error.kind, f"DICOM, {name}: {error.message}") from None


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What the header says of the pixels: columns and rows, samples, colours, bits."""

    size: tuple[int, int]
    samples: int
    photometric: str
    bits: Bits


def _check_syntax(file: DicomFile) -> str:
    """The name of the transfer syntax, which is one that is decoded."""
    if file.syntax is None:
        return "without transfer syntax"
    # A UID that is in no dictionary could be made of anything, and is not repeated.
    known = file.syntax in uid.UID_dictionary
    name = uid.UID(file.syntax).name if known else "an unknown transfer syntax"
    if file.syntax not in _NATIVE and file.syntax not in _COMPRESSED:
        raise InputError(Kind.UNSUPPORTED_DICOM, f"DICOM: no decoder for {name}")
    return name


def _read_bits(dataset: pydicom.Dataset) -> Bits:
    allocated = attributes.whole_number(dataset, "BitsAllocated")
    if not allocated:
        raise InputError(Kind.CORRUPT_DICOM, "DICOM: its Bits Allocated is missing")
    stored = attributes.whole_number(dataset, "BitsStored") or allocated
    high = attributes.whole_number(dataset, "HighBit")
    high = stored - 1 if high is None else high
    if allocated not in (1, 8, 16, 32):
        raise InputError(Kind.UNSUPPORTED_DICOM, f"DICOM: words of {allocated} bits")
    if not stored - 1 <= high < allocated:
        raise InputError(
            Kind.CORRUPT_DICOM,
            f"DICOM: Bits Allocated {allocated}, Bits Stored {stored} and High Bit {high} "
            "contradict each other",
        )
    signed = attributes.whole_number(dataset, "PixelRepresentation") == 1
    return Bits(allocated, stored, high, signed)


def _read_native(file: DicomFile, layout: _Layout) -> Stored:
    """Read uncompressed pixels."""
    bits, (columns, rows) = layout.bits, layout.size
    subsampled = layout.photometric == "YBR_FULL_422"
    count = columns * rows * (2 if subsampled else layout.samples)
    expected = (count * bits.allocated + 7) // 8
    data = _native_bytes(file, expected)
    if bits.allocated == 1:
        words = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count]
        return _finish(words.reshape(rows, columns), layout, file.dataset)
    if subsampled:
        full = expand_ybr422(data, bits.allocated)
        words = np.frombuffer(full, f"<u{bits.allocated // 8}").reshape(rows, columns, 3)
        return _finish(words, layout, file.dataset)
    order = "<" if file.little_endian else ">"
    words = np.frombuffer(data, f"{order}u{bits.allocated // 8}")
    if layout.samples == 1:
        return _finish(words.reshape(rows, columns), layout, file.dataset)
    if attributes.whole_number(file.dataset, "PlanarConfiguration") == 1:
        return _finish(words.reshape(3, rows, columns).transpose(1, 2, 0), layout, file.dataset)
    return _finish(words.reshape(rows, columns, 3), layout, file.dataset)


def _native_bytes(file: DicomFile, expected: int) -> bytes:
    """The bytes of one uncompressed frame, where there is exactly one."""
    start, end = file.pixels or (0, 0)
    held = min(end, len(file.data)) - start
    if end == start:
        raise InputError(Kind.NO_PIXELS, "its pixel data are empty")
    if held < expected:
        cut = end > len(file.data)
        kind = Kind.TRUNCATED_IMAGE if cut else Kind.CORRUPT_IMAGE
        raise InputError(kind, f"it holds {held} bytes of pixels, not {expected}")
    if held >= 2 * expected and held >= expected + 2:
        raise InputError(
            Kind.MULTI_FRAME, f"it holds {held // expected} frames, and a film has one"
        )
    return file.data[start : start + expected]


def _read_floats(file: DicomFile, shape: tuple[int, int]) -> Stored:
    """Read floating point pixels, which are what they are: no bits, no padding value."""
    order, width = "<" if file.little_endian else ">", file.float_bits // 8
    data = _native_bytes(file, shape[0] * shape[1] * width)
    values = np.frombuffer(data, f"{order}f{width}").reshape(shape).astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(Kind.UNSUPPORTED_DICOM, "DICOM: some of its pixels are no finite numbers")
    return Stored(values, Bits(file.float_bits, file.float_bits, file.float_bits - 1, signed=True))


def _read_encapsulated(file: DicomFile, layout: _Layout) -> Stored:
    """Read the one compressed frame, in however many fragments it lies.

    Offset tables tell frames from each other, and are not needed for one. A fragment that begins an
    image of its own is another frame.
    """
    fragments = file.fragments()
    begun = [begins_frame(fragment, file.syntax or "") for fragment in fragments]
    if sum(begun) > 1:
        raise InputError(Kind.MULTI_FRAME, f"it holds {sum(begun)} frames, and a film has one")
    frame = b"".join(fragments)
    bits = layout.bits
    if file.syntax == uid.RLELossless:
        if bits.allocated == 1:
            raise InputError(Kind.UNSUPPORTED_DICOM, "RLE: words of 1 bit")
        words = decode_rle(frame, layout.size, layout.samples, bits.allocated)
        return _finish(words, layout, file.dataset)
    decoded = decode_frame(frame, file.syntax or "", layout.size, rgb=layout.photometric == "RGB")
    if layout.samples == 3:
        return Stored(_luminance(decoded, layout), bits, white=2**decoded.precision - 1)
    if decoded.samples.ndim != 2:
        raise InputError(
            Kind.UNSUPPORTED_DICOM, "its frame has colours, and its header says that it has none"
        )
    return _finish(_words(decoded, layout.bits, file.dataset), layout, file.dataset)


def _luminance(decoded: Decoded, layout: _Layout) -> npt.NDArray[Any]:
    samples = decoded.samples
    if samples.ndim == 2:  # of a lossy JPEG
        return samples
    if samples.shape[2] != 3:
        raise InputError(Kind.UNSUPPORTED_DICOM, f"its frame has {samples.shape[2]} components")
    ybr = layout.photometric in _YBR and not decoded.rgb
    return np.asarray(samples[:, :, 0] if ybr else luminance(samples))


def _words(decoded: Decoded, bits: Bits, dataset: pydicom.Dataset) -> Ints:
    """Samples of a codestream as the words that `bits` describes.

    Raises:
      InputError: ``corrupt_dicom`` where its values do not fit.
    """
    samples, precision = decoded.samples, decoded.precision
    if decoded.signed:
        # In two's complement of its own bits, which pydicom takes for unsigned values likewise.
        samples = samples.astype(np.int64) & ((1 << precision) - 1)
    words = samples.astype(np.uint32)
    least = bits.high - bits.stored + 1
    if least and precision > bits.high:
        return words
    if precision <= bits.stored:
        if bits.signed and precision < bits.stored:
            sign = np.uint32(1 << (precision - 1))
            if decoded.signed:
                words = (words ^ sign) - sign
            elif (words & sign).any():
                raise _misfit(precision, bits)
        return (words & _mask(bits.stored)) << np.uint32(least)
    above = words >> np.uint32(bits.stored)
    if above.any() and not _is_sign(words, above, precision, bits):
        if decoded.lossy and words.max() <= bits.highest * (1 + _OVERSHOOT) and not bits.signed:
            words = np.minimum(words, np.uint32(bits.highest))
        elif not _holds_overlays(dataset, bits):
            raise _misfit(precision, bits)
    return words << np.uint32(least)


def _is_sign(words: Ints, above: Ints, precision: int, bits: Bits) -> bool:
    """Whether the bits above the sample only repeat its sign."""
    negative = (words >> np.uint32(bits.stored - 1)) & 1 == 1
    filled = _mask(precision - bits.stored)
    return bool(bits.signed and ((above == 0) | ((above == filled) & negative)).all())


def _holds_overlays(dataset: pydicom.Dataset, bits: Bits) -> bool:
    """Whether the header puts overlays into the bits above the sample."""
    places = (attributes.whole_number(dataset, tag) for tag in OVERLAY_BITS if tag in dataset)
    return any(place is not None and place > bits.high for place in places)


def _misfit(precision: int, bits: Bits) -> InputError:
    return InputError(
        Kind.CORRUPT_DICOM,
        f"its codestream has samples of {precision} bits, and values that do not fit in the "
        f"{bits.stored} of the header",
    )


def _mask(bits: int) -> np.uint32:
    return np.uint32((1 << bits) - 1)


def _finish(words: Ints, layout: _Layout, dataset: pydicom.Dataset) -> Stored:
    """Take the samples out of unsigned words, and the padding."""
    bits = layout.bits
    values = _samples(words, bits)
    if layout.photometric == _PALETTE:
        return _from_palette(values, layout, dataset)
    if layout.samples == 3:
        grey = values[:, :, 0] if layout.photometric in _YBR else luminance(values)
        return Stored(grey, bits, white=bits.highest)
    padding, ignored = _padding(words, values, bits, dataset)
    return Stored(values, bits, padding, ignored=ignored)


def _samples(words: Ints, bits: Bits) -> Ints:
    least = bits.high - bits.stored + 1
    words = words.astype(words.dtype.newbyteorder("="), copy=False)
    if words.dtype.itemsize == 1:
        words = words.astype(np.uint16)
    if least:
        words = words >> words.dtype.type(least)
    if bits.stored < 8 * words.dtype.itemsize:
        words = words & words.dtype.type((1 << bits.stored) - 1)
    if not bits.signed:
        return words
    sign = 1 << (bits.stored - 1)
    wide = np.int64 if bits.stored > 16 else np.int32
    return np.bitwise_xor(words.astype(wide), sign) - sign


def _from_palette(values: Ints, layout: _Layout, dataset: pydicom.Dataset) -> Stored:
    try:
        colours = np.asarray(apply_color_lut(values, dataset))
    except Exception as error:  # noqa: BLE001 - damaged tables make pydicom raise anything
        raise corrupt("its palette cannot be applied", error) from None
    return Stored(luminance(colours), layout.bits, white=np.iinfo(colours.dtype).max)


def _padding(
    words: Ints, values: Ints, bits: Bits, dataset: pydicom.Dataset
) -> tuple[npt.NDArray[np.bool_] | None, tuple[str, ...]]:
    """Where the pixels are padding; and the attribute, if it could not be used.

    The padding value may be written with the other sign (VR US for signed samples), and may lie
    outside of what a sample can hold: then the words are padded, above their samples too. A film
    that is padding from edge to edge has its padding value wrong, and is all film.
    """
    written = attributes.number(dataset, "PixelPaddingValue")
    if written is None:
        return None, ()
    limit = attributes.number(dataset, "PixelPaddingRangeLimit")
    if written != written or not abs(written) < 1 << 32:  # NaN, or far too large
        return None, ("pixel_padding",)
    if limit is None or not abs(limit) < 1 << 32:
        limit = written
    ends = [_in_words(int(end), bits) for end in (written, limit)]
    if all(bits.lowest <= end <= bits.highest for end in ends):
        found = (values >= min(ends)) & (values <= max(ends))
    else:
        width = bits.allocated
        whole = _samples(words, Bits(width, width, width - 1, bits.signed))
        found = (whole >= min(ends)) & (whole <= max(ends))
    return (found if found.any() and not found.all() else None), ()


def _in_words(value: int, bits: Bits) -> int:
    """A padding value as samples have it: its lowest bits, read with their sign."""
    width = 32 if bits.allocated == 32 else 16
    value &= (1 << width) - 1
    if bits.signed and value >= 1 << (width - 1):
        value -= 1 << width
    if bits.allocated == 8 and not bits.lowest <= value <= bits.highest:
        value &= 0xFF
    return value
