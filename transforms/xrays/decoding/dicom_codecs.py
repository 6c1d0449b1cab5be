"""Decoders of the compressed frames of a DICOM file.

A JPEG of any kind says itself which it is, so that the frame, not the transfer syntax, chooses the
decoder. Each has one or two, in the order in which they are tried, and what they would mend is
refused before: libjpeg-turbo, CharLS, OpenJPEG and OpenJPH, all through imagecodecs. pydicom would
choose GDCM, which ends the process on some damaged frames: an exception that nothing catches in its
C++. No decoder reports damage in the middle of JPEG lossless and JPEG 2000.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid

from beamscope.transforms import jpeg_markers
from beamscope.transforms.image_files.jpeg import decode_jpeg, read_frame
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding import jpeg2000

JPEG_2000 = (
    uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K
)  # fmt: skip
# All kinds of JPEG, those that were retired included: 1.2.840.10008.1.2.4.50 to .66, and JPEG-LS.
JPEG = tuple(uid.UID(f"1.2.840.10008.1.2.4.{number}") for number in (*range(50, 67), 70, 80, 81))
_LOSSY = (
    uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K
)  # fmt: skip
_JPEG_START, _RLE_SEGMENTS = b"\xff\xd8\xff", range(1, 16)

Samples = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
    """The samples of a frame, as its codestream has them.

    Attributes:
      samples: integers ``[rows, columns]``, or ``[rows, columns, components]``.
      precision: bits of a sample, by the codestream.
      signed: whether the codestream says that its samples are; only JPEG 2000 can.
      lossy: whether samples may lie a little outside of the values that were encoded.
      rgb: whether several components are red, green and blue whatever the file's header says; of a
        lossy JPEG the luminance is all that is decoded.
    """

    samples: Samples
    precision: int
    signed: bool = False
    lossy: bool = False
    rgb: bool = False


def begins_frame(fragment: bytes, syntax: str) -> bool:
    """Whether a fragment is where an encoded image begins, rather than the rest of one."""
    if syntax == uid.RLELossless:
        count, first = (int.from_bytes(fragment[i : i + 4], "little") for i in (0, 4))
        return count in _RLE_SEGMENTS and first == 64
    return fragment.startswith((_JPEG_START, jpeg2000.CODESTREAM, jpeg2000.JP2))


def decode_frame(frame: bytes, syntax: str, size: tuple[int, int], *, rgb: bool) -> Decoded:
    """Decode one frame that is a JPEG of some kind.

    Args:
      frame: the encoded image; what follows its end, such as padding, is left alone.
      syntax: the transfer syntax.
      size: columns and rows that the film has.
      rgb: whether the file's header says that the components are red, green and blue.

    Raises:
      InputError: ``corrupt_image``, ``truncated_image`` and ``unsupported_dicom``.
    """
    lossy = syntax in _LOSSY
    if frame.startswith((jpeg2000.CODESTREAM, jpeg2000.JP2)):
        return _decode_jpeg_2000(frame, size, lossy=lossy)
    header = read_frame(frame)
    _check_size((header.width, header.height), size)
    if header.marker not in (jpeg_markers.SOF3, jpeg_markers.SOF55):
        try:
            samples, _ = decode_jpeg(frame, "RGB" if rgb else "header")
        except InputError as error:
            known = error.kind is not Kind.UNSUPPORTED_IMAGE
            raise error if known else InputError(Kind.UNSUPPORTED_DICOM, error.message) from None
        return Decoded(samples, header.precision, lossy=True)
    # libjpeg would mend a frame without an end without a word, and CharLS takes seconds over it.
    try:
        frame = frame[: jpeg_markers.image_end(frame)]
    except jpeg_markers.CutOffError:
        raise InputError(Kind.TRUNCATED_IMAGE, "JPEG: it is cut off before its end") from None
    except jpeg_markers.MarkerError as error:
        raise InputError(Kind.CORRUPT_IMAGE, f"JPEG: {error}") from None
    if header.marker == jpeg_markers.SOF55:
        samples = _first(frame, imagecodecs.jpegls_decode)
    else:
        samples = _first(frame, imagecodecs.jpeg8_decode, imagecodecs.jpegsof3_decode)
    return Decoded(samples, header.precision, lossy=lossy)


def decode_rle(frame: bytes, size: tuple[int, int], samples: int, bits_allocated: int) -> Samples:
    """Decode an RLE frame to unsigned words ``[rows, columns]`` or ``[rows, columns, samples]``.

    Each byte of each sample is a segment of its own, the highest first (PS3.5, G.2), packed as
    PackBits does.

    Raises:
      InputError: ``corrupt_image``, ``truncated_image``.
    """
    columns, rows = size
    width = bits_allocated // 8
    header = np.frombuffer(frame[:64].ljust(64, b"\0"), "<u4").tolist()
    count, starts = header[0], header[1 : 1 + header[0]]
    if count != samples * width or starts != sorted(starts) or starts[0] < 64:
        raise InputError(Kind.CORRUPT_IMAGE, "RLE: it has not one segment for each byte of a pixel")
    if starts[-1] >= len(frame):
        raise InputError(Kind.TRUNCATED_IMAGE, "RLE: it is cut off before its last segment")
    words = np.zeros((rows, columns, samples), f"<u{width}")
    planes = words.view(np.uint8).reshape(rows, columns, samples, width)
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(frame)], strict=True)):
        plane = _unpack_bits(frame[start:end], rows * columns)
        planes[:, :, index // width, width - 1 - index % width] = plane.reshape(rows, columns)
    return words[:, :, 0] if samples == 1 else words


def _unpack_bits(segment: bytes, size: int) -> npt.NDArray[np.uint8]:
    """The bytes of a segment, which one byte may pad to an even length, packed or not."""
    for data in (segment, segment[:-1]):
        try:
            unpacked = np.frombuffer(imagecodecs.packbits_decode(data), np.uint8)
        except Exception:  # noqa: BLE001 - as above
            continue
        if size <= len(unpacked) <= size + size % 2:
            return unpacked[:size]
    raise InputError(Kind.CORRUPT_IMAGE, "RLE: a segment does not give the bytes of its pixels")


def _decode_jpeg_2000(frame: bytes, film: tuple[int, int], *, lossy: bool) -> Decoded:
    stream = jpeg2000.codestream(frame)
    size = jpeg2000.read_size(stream)
    _check_size((size.width, size.height), film)
    samples = _first(jpeg2000.whole(stream), imagecodecs.jpeg2k_decode, imagecodecs.htj2k_decode)
    # OpenJPEG undoes the codec's own transform of colours.
    return Decoded(samples, size.precision, size.signed, lossy, rgb=size.components > 1)


def _first(data: bytes, *decoders: Callable[[bytes], Samples]) -> Samples:
    """The image by the first decoder that reads it."""
    reasons: list[Exception] = []
    for decoder in decoders:
        try:
            return np.asarray(decoder(data))
        except Exception as error:  # noqa: BLE001 - a codec raises anything on damage
            reasons.append(error)
    raise _undecodable(reasons[0])


def _check_size(declared: Sequence[int], film: Sequence[int]) -> None:
    """Refuse a frame whose own header asks for other room than was made."""
    if tuple(declared) != tuple(film):
        raise InputError(
            Kind.CORRUPT_IMAGE,
            f"its frame is {declared[0]}x{declared[1]}, and the film {film[0]}x{film[1]}",
        )


def _undecodable(error: Exception) -> InputError:
    # Without its words, which may quote what lies in the file.
    return InputError(Kind.CORRUPT_IMAGE, f"its pixels cannot be decoded ({type(error).__name__})")
