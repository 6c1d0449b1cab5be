"""A DICOM file taken apart: its attributes, and where its pixels lie.

pydicom parses the attributes, as far as the pixels. Those are found here, because pydicom drops an
element that breaks off or lacks its delimiter, and does not say that a file is cut.
"""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pydicom
from pydicom import uid
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits

_PREAMBLE = 132
_MAGIC = b"DICM"
_UNDEFINED = 0xFFFFFFFF
# Pixel Data, Float Pixel Data and Double Float Pixel Data, and the bits of the floats.
_PIXELS = {0x7FE00010: 0, 0x7FE00008: 32, 0x7FE00009: 64}
_PHOTOMETRIC = 0x00280004
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_DEFLATED_STEP = 1 << 18
# With which a data set without a file meta group begins: group 8, up to the SOP instance.
_FIRST_ELEMENTS = frozenset({0x00, 0x01, 0x05, 0x06, 0x08, 0x12, 0x13, 0x14, 0x16, 0x18})
_TEXT_VRS = (b"UL", b"CS", b"UI", b"DA", b"TM", b"SH", b"LO", b"OB")


@dataclasses.dataclass(frozen=True, eq=False)
class DicomFile:
    """A file's attributes and the place of its pixels.

    Attributes:
      dataset: the attributes that were asked for, of those before the pixels.
      syntax: UID of the transfer syntax; None where the file does not say it.
      little_endian: order of the bytes in words.
      data: the file, inflated where it was deflated.
      pixels: where the value of Pixel Data begins and ends, the end being the file's where the
        length is undefined; None where there is no such element.
      encapsulated: whether the length of Pixel Data is undefined.
      float_bits: bits of a pixel that is a floating point number; 0 where they are integers.
      cut: whether the file ends before its last element.
      last_tag: the tag of the last element that was met.
    """

    dataset: pydicom.Dataset
    syntax: str | None
    little_endian: bool
    data: bytes
    pixels: tuple[int, int] | None
    encapsulated: bool
    float_bits: int
    cut: bool
    last_tag: int

    def check_has_pixels(self) -> None:
        """Refuse a file without an image, and one that ends before its image.

        Raises:
          InputError: ``no_pixels`` or ``truncated_image``.
        """
        # Attributes are in the order of their tags, so that one past the image's tells enough.
        if self.cut and (_PHOTOMETRIC in self.dataset or self.last_tag <= _PHOTOMETRIC):
            raise InputError(Kind.TRUNCATED_IMAGE, "DICOM: the file ends before its pixels do")
        if self.pixels is None or _PHOTOMETRIC not in self.dataset:
            raise InputError(Kind.NO_PIXELS, "the DICOM file holds no pixels")

    def fragments(self) -> list[bytes]:
        """The fragments of encapsulated pixels, without their offset table (PS3.5, A.4).

        The end of the file may stand for the delimiter, and cut the last fragment.

        Raises:
          InputError: ``no_pixels`` where there is none, ``truncated_image`` where the file ends
            before the first, ``corrupt_image`` where something else is in its place.
        """
        start, end = self.pixels or (0, 0)
        found = [fragment for fragment in _items(self.data, start, end) if fragment]
        if found:
            return found
        if len(self.data) <= max(start, 8) or not self.data.endswith(_DELIMITER + bytes(4)):
            if self.data.startswith(_ITEM[: max(0, len(self.data) - start)], start):
                raise InputError(Kind.TRUNCATED_IMAGE, "the file ends before its pixels do")
            raise InputError(Kind.CORRUPT_IMAGE, "its pixels are in no items")
        raise InputError(Kind.NO_PIXELS, "its pixel data are empty")


def is_dicom(data: bytes) -> bool:
    """Whether a file is DICOM; its name does not matter.

    It has a preamble and the magic of part 10; or neither, and begins with a file meta group, or
    with an identifying attribute of group 8 in any of the native encodings.
    """
    if data[128:132] == _MAGIC:
        return True
    if len(data) < 8:
        return False
    if data[:2] == b"\x02\x00" and data[3] == 0:
        return data[4:6] in (b"UL", b"OB", b"UI", b"SH")
    little = data[:2] == b"\x08\x00" and data[3] == 0 and data[2] in _FIRST_ELEMENTS
    big = data[:3] == b"\x00\x08\x00" and data[3] in _FIRST_ELEMENTS
    explicit = data[4:6] in _TEXT_VRS
    return (little and (explicit or data[5:8] == b"\0\0\0")) or (big and explicit)


def open_dicom(data: bytes, wanted: Iterable[str | int], limits: Limits) -> DicomFile:
    """Parse the attributes of a file, and find its pixels.

    Args:
      data: the file.
      wanted: keywords or tags of the attributes that are parsed.
      limits: what a deflated data set may inflate to.

    Raises:
      InputError: ``corrupt_dicom``, ``truncated_image``, and ``member_too_big`` or
        ``compression_ratio`` for a deflated data set beyond the limits.
    """
    file = io.BytesIO(data)
    file.seek(_PREAMBLE if data[128:132] == _MAGIC else 0)
    syntax = _read_meta(file)
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        data, cut = _inflate(data, file.tell(), limits)
        file = io.BytesIO(data)
    else:
        cut = False
    implicit, little = _encoding(syntax, data[file.tell() : file.tell() + 6])
    walk = _Walk(file)
    try:
        dataset = read_dataset(
            file, implicit, little, stop_when=walk, specific_tags=[Tag(word) for word in wanted]
        )
    except Exception as error:  # noqa: BLE001 - hostile bytes make pydicom raise anything
        if cut or isinstance(error, struct.error) or walk.ends_early(data):
            raise _ends_in_header() from None
        raise corrupt("its attributes cannot be read", error) from None
    pixels, encapsulated = None, False
    if walk.tag in _PIXELS:
        encapsulated = walk.length == _UNDEFINED
        pixels = walk.start, len(data) if encapsulated else walk.start + walk.length
    else:
        cut = cut or walk.ends_early(data)
    return DicomFile(
        dataset, syntax, little, data, pixels, encapsulated, _PIXELS.get(walk.tag, 0), cut, walk.tag
    )


def corrupt(what: str, error: Exception) -> InputError:
    """A ``corrupt_dicom`` that names the kind of an error and not its words, which quote values."""
    return InputError(Kind.CORRUPT_DICOM, f"DICOM: {what} ({type(error).__name__})")


def _ends_in_header() -> InputError:
    return InputError(Kind.TRUNCATED_IMAGE, "DICOM: the file ends in its header")


class _Walk:
    """Notes which element pydicom has come to, and stops it at the pixels."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tag = 0
        self.start = 0
        self.length = 0

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        del vr
        self.tag, self.start, self.length = int(tag), self._file.tell(), length
        return self.tag in _PIXELS

    def ends_early(self, data: bytes) -> bool:
        """Whether the data end in the midst of an element."""
        if self.length == _UNDEFINED:
            return not data.endswith(_DELIMITER + bytes(4))
        rest = len(data) - (self.start + self.length)
        # Fewer bytes than the header of an element are its beginning, unless they are padding.
        return rest < 0 or (0 < rest < 8 and any(data[-rest:]))


def _read_meta(file: BinaryIO) -> str | None:
    """Read the file meta group, and return the transfer syntax; leave the file behind it.

    Its elements are known by their group, so that it needs no group length.
    """
    walk = _Walk(file)

    def leaves(tag: BaseTag, vr: str | None, length: int) -> bool:
        walk(tag, vr, length)
        return tag.group != 2

    try:
        meta = read_dataset(file, False, True, stop_when=leaves)
        value = meta.get("TransferSyntaxUID")
    except struct.error:
        raise _ends_in_header() from None
    except Exception as error:  # noqa: BLE001 - likewise
        raise corrupt("its file meta group cannot be read", error) from None
    if file.read(1) == b"":
        raise _ends_in_header()
    file.seek(-1, io.SEEK_CUR)
    return str(value).strip(" \0") or None if value else None


def _encoding(syntax: str | None, first: bytes) -> tuple[bool, bool]:
    """Whether the data set has implicit VRs, and whether it is little endian.

    Without a transfer syntax the first element tells: a VR that is one, and a group that is low.
    """
    if syntax == uid.ImplicitVRLittleEndian:
        return True, True
    if syntax is not None:
        return False, syntax != uid.ExplicitVRBigEndian
    explicit = first[4:6].isalpha() and first[4:6].isupper()
    return not explicit, not explicit or first[:1] != b"\0"


def _inflate(data: bytes, start: int, limits: Limits) -> tuple[bytes, bool]:
    """Inflate a deflated data set within the limits; and whether it was cut off."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    inflated = 0
    try:
        while start < len(data) and not engine.eof:
            part = data[start : start + _DEFLATED_STEP]
            start += len(part)
            parts.append(engine.decompress(part, limits.max_member_bytes + 1))
            inflated += len(parts[-1])
            limits.check_size("the deflated data set", inflated)
            limits.check_ratio("the deflated data set", inflated, start)
    except zlib.error as error:
        raise corrupt("its deflated data are damaged", error) from None
    return b"".join(parts), not engine.eof


def _items(data: bytes, at: int, end: int) -> Iterator[bytes]:
    """Yield the fragments, up to the delimiter or whatever else is no item."""
    first = True
    while at + 8 <= min(end, len(data)) and data.startswith(_ITEM, at):
        (length,) = struct.unpack_from("<L", data, at + 4)
        # The first item is the offset table. It may be empty, and is not needed for one frame.
        if not first:
            yield data[at + 8 : at + 8 + length]
        first = False
        at += 8 + length
