"""JPEG, lossy kinds: decoded by a library that mends, once another has found no damage.

libjpeg mends damage and only warns of it (premature end, corrupt data). simplejpeg alone makes the
warning an error, so it decodes where it can. It lacks 12-bit samples and rare chroma samplings;
imagecodecs (libjpeg-turbo too) has both, drops the warnings, and decodes only what was checked:

* 12 bits: simplejpeg reads the same coded data under a header that says 8 bits. The pixels are of
  no use, the warnings are the same, because the entropy coder does not know the precision.
* rare samplings: `jpeg_scan` reads the Huffman codes of the one scan.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg

from beamscope.transforms import jpeg_markers
from beamscope.transforms.image_files.jpeg_scan import SEQUENTIAL, ScanError, check_scans
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

Colour = Literal["header", "RGB"]
Output = Literal["GRAY", "RGB"]

_LOSSY = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # Huffman and arithmetic coding
# What libjpeg-turbo says.
_RARE_SAMPLING = "subsampling level"
_PADDED = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def decode_jpeg(
    data: bytes, colour: Colour = "header", output: Output = "GRAY"
) -> tuple[npt.NDArray[np.uint8 | np.uint16], jpeg_markers.Frame]:
    """Decode a lossy JPEG to its luminance, or to RGB.

    Args:
      data: the stream; what follows its end is left alone.
      colour: ``RGB`` for components that are red, green and blue although no marker says so;
        ``header`` to go by the markers, and without any to take them for YCbCr as libjpeg does.
      output: ``GRAY`` for luminance, ``RGB`` for colours.

    Returns:
      uint8 ``[height, width]``, or ``[height, width, 3]`` for RGB, for 8 bits a sample, uint16 for
      12; and the frame header.

    Raises:
      InputError: ``corrupt_image`` where a decoder would mend it, ``truncated_image`` where its end
        is missing, ``unsupported_image`` for a kind of JPEG that no decoder here has.
    """
    try:
        return _decode(data, colour, output)
    except jpeg_markers.MarkerError as error:
        raise _damaged(data, str(error)) from None


def _decode(
    data: bytes, colour: Colour, output: Output
) -> tuple[npt.NDArray[np.uint8 | np.uint16], jpeg_markers.Frame]:
    frame = read_frame(data)
    data = _with_whole_spectrum(data, frame)
    if frame.marker not in _LOSSY:
        raise _unsupported("this coding process is not decoded")
    if frame.precision not in (8, 12) or len(frame.components) not in (1, 3):
        raise _unsupported(f"{len(frame.components)} components of {frame.precision} bits")
    rgb = colour == "RGB" and len(frame.components) == 3 and not _says_colour(data, frame)
    try:
        pixels = _strictly(with_8_bits(data), output)
    except _RareSamplingError:
        _check_scans(data, frame)
    else:
        if frame.precision == 8 and not rgb:
            return pixels, frame
    return _leniently(data, "RGB" if rgb else None, output), frame


def read_frame(data: bytes) -> jpeg_markers.Frame:
    """Read the frame header of a JPEG of any kind.

    Raises:
      InputError: ``truncated_image`` where the stream ends before it, ``corrupt_image`` where there
        is none.
    """
    try:
        return jpeg_markers.read_frame(data)
    except jpeg_markers.MarkerError as error:
        raise _damaged(data, str(error)) from None


def with_8_bits(data: bytes) -> bytes:
    """The same stream under a header that says 8 bits a sample, for libraries that read headers.

    Raises:
      jpeg_markers.MarkerError: it has no frame header.
    """
    for segment in jpeg_markers.segments(data):
        if segment.marker in jpeg_markers.FRAMES:
            place = segment.start + 4
            return data if data[place] == 8 else data[:place] + b"\x08" + data[place + 1 :]
    raise jpeg_markers.MarkerError("it has no frame header")


class _RareSamplingError(Exception):
    """A chroma sampling that TurboJPEG has no name for."""


def _strictly(data: bytes, output: Output) -> npt.NDArray[np.uint8]:
    try:
        pixels = simplejpeg.decode_jpeg(data, output, strict=True)
        return np.asarray(pixels[:, :, 0] if output == "GRAY" else pixels)
    except ValueError as error:
        reason = one_line(error)
    if _RARE_SAMPLING in reason:
        raise _RareSamplingError
    if (found := _PADDED.search(reason)) and (without := _unpadded(data, int(found[1]))):
        return _strictly(without, output)
    raise _damaged(data, reason)


def _unpadded(data: bytes, padding: int) -> bytes | None:
    """The stream without the padding between its scan and its end; None if that is no padding."""
    end = jpeg_markers.image_end(data) - len(jpeg_markers.EOI)
    if len(set(data[end - padding : end])) != 1:
        return None
    return data[: end - padding] + jpeg_markers.EOI


def _check_scans(data: bytes, frame: jpeg_markers.Frame) -> None:
    if frame.marker not in SEQUENTIAL:
        raise _unsupported("a rare chroma sampling, and not coded sequentially")
    try:
        check_scans(data, frame)
    except (ScanError, jpeg_markers.MarkerError) as error:
        raise _damaged(data, str(error)) from None


def _leniently(data: bytes, colour: str | None, output: Output) -> npt.NDArray[Any]:
    try:
        return np.asarray(
            imagecodecs.jpeg8_decode(
                data, colorspace=colour, outcolorspace="GRAYSCALE" if output == "GRAY" else "RGB"
            )
        )
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise _damaged(data, one_line(error)) from None


def _says_colour(data: bytes, frame: jpeg_markers.Frame) -> bool:
    """Whether a JFIF or Adobe marker, or the letters R, G and B as ids, tell the colour space."""
    ids = bytes(number for number, _ in frame.components)
    return ids in (b"RGB", b"rgb") or any(
        (segment.marker == jpeg_markers.APP0 and segment.body(data).startswith(b"JFIF"))
        or (segment.marker == jpeg_markers.APP14 and segment.body(data).startswith(b"Adobe"))
        for segment in jpeg_markers.segments(data)
    )


def _with_whole_spectrum(data: bytes, frame: jpeg_markers.Frame) -> bytes:
    """The stream with scan headers that select all coefficients, where nothing else is possible.

    A sequential scan has them all, and its header is to say so: 0, 63, 0 (T.81, table B.3). Some
    writers leave zeros there, as did that of DICOM's own sample images (WG-04); decoders take no
    notice but for a warning.
    """
    if frame.marker not in SEQUENTIAL:
        return data
    at = 2
    patched: bytearray | None = None
    try:
        while True:
            for segment in jpeg_markers.segments(data, at):
                if segment.marker == jpeg_markers.END:
                    return data if patched is None else bytes(patched)
            if segment.body(data)[-3:] != b"\0\x3f\0" and segment.end - segment.start > 7:
                patched = patched or bytearray(data)
                patched[segment.end - 3 : segment.end] = b"\0\x3f\0"
            at = jpeg_markers.scan_end(data, segment.end)
    except jpeg_markers.MarkerError:
        return data


def _damaged(data: bytes, reason: str) -> InputError:
    try:
        jpeg_markers.image_end(data)
    except jpeg_markers.CutOffError:
        return InputError(Kind.TRUNCATED_IMAGE, "JPEG: it is cut off before its end")
    except jpeg_markers.MarkerError:
        pass
    return InputError(Kind.CORRUPT_IMAGE, f"JPEG: {reason}")


def _unsupported(what: str) -> InputError:
    return InputError(Kind.UNSUPPORTED_IMAGE, f"JPEG: {what}")
