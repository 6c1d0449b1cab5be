"""Decoding one JPEG 2000 tile of an Aperio slide, at full size or at a lower resolution.

The decoder is OpenJPEG in the wheel of imagecodecs (BSD): the library that OpenSlide uses, with the
same pixels. It releases the interpreter's lock.

imagecodecs passes no resolution on to OpenJPEG. A codestream holds each resolution as packets of
its own, lowest first, so that a header that claims the smaller image makes it of the same data
(ITU-T T.800, annexes A and B).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.readers.native.jpeg import TileError
from beamscope.transforms.slides.readers.pixels import resample

# Markers (T.800, table A.2).
_START = b"\xff\x4f\xff\x51"  # of the codestream; the size always follows
_SIZ, _COD, _QCD, _START_OF_TILE = 0x51, 0x52, 0x5C, 0x90
# Lengths of tile parts and packets, and comments: they say nothing that the data does not say.
_ASIDE = frozenset({0x55, 0x57, 0x64})  # TLM, PLM, COM
_PLAIN = _ASIDE | {_SIZ, _COD, _QCD}
# Progressions whose packets start with the lowest resolution, whatever the layers.
_BY_RESOLUTION = frozenset({1, 2})  # RLCP, RPCL
_BY_LAYER = 0  # LRCP: the same, if there is one layer
# Bytes of a subband in QCD by its style: reversible, and scalar expounded. Derived has one value.
_QUANTIZED_BYTES = {0: 1, 1: 0, 2: 2}
_SUBBANDS = 3  # of each resolution but the lowest
_EIGHT_BITS = 7  # unsigned, less one


def _rounded(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int32]:
    """Round as C does: a half away from zero."""
    return np.copysign(np.floor(np.abs(values) + 0.5), values).astype(np.int32)


# YCbCr to RGB (ITU-T T.871) with the rounding of OpenSlide 4: red and blue each by themselves,
# green as a sum of two parts in units of 1/65536.
_FROM_MIDDLE = np.arange(256) - 128.0
_RED_OF_CR = _rounded(1.402 * _FROM_MIDDLE)
_GREEN_OF_CB = _rounded(65536 * (0.5 - 0.34414 * _FROM_MIDDLE))
_GREEN_OF_CR = _rounded(65536 * -0.71414 * _FROM_MIDDLE)
_BLUE_OF_CB = _rounded(1.772 * _FROM_MIDDLE)


class Jpeg2000Decoder:
    """A decoder of the tiles of one level.

    Args:
      width: of every tile, px.
      height: of every tile, px.
      ycbcr: whether the TIFF says that the tiles hold YCbCr; else RGB.

    Attributes:
      bytes_a_pixel: of memory while a tile is decoded: OpenJPEG's samples of 32 bits, twice.
      is_jpeg: False.
    """

    bytes_a_pixel = 40
    is_jpeg = False

    def __init__(self, width: int, height: int, *, ycbcr: bool) -> None:
        self._size = width, height
        self._ycbcr = ycbcr

    def decode(self, data: bytes, scale: int, out: npt.NDArray[np.uint8]) -> None:
        """Decode a tile into `out`.

        Args:
          data: the tile as it is in the file.
          scale: 1, 2, 4 or 8: by how much the decoder shrinks the tile. Of a tile whose resolutions
            are not apart, areas are averaged.
          out: uint8 RGB ``[height / scale, width / scale, 3]``, contiguous.

        Raises:
          TileError: the data is corrupt, an image of another size, or not of three 8-bit components
            of that size.
        """
        header = _read_header(data)
        header.check(*self._size)
        halvings = scale.bit_length() - 1
        if halvings and header.has_apart(halvings):
            out[:] = self._decoded(header.reduced(halvings), *out.shape[:2])
            return
        decoded = self._decoded(data, out.shape[0] * scale, out.shape[1] * scale)
        out[:] = resample(decoded, out.shape[1], out.shape[0])

    def stream(self, data: bytes) -> bytes:
        """Return a tile as it is: a codestream stands alone."""
        return data

    def _decoded(self, stream: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
        try:
            decoded: npt.NDArray[np.uint8] = imagecodecs.jpeg2k_decode(stream, numthreads=1)
        except imagecodecs.Jpeg2kError as error:
            raise TileError(f"JPEG 2000: {error}") from error
        if decoded.shape != (height, width, 3) or decoded.dtype != np.uint8:
            raise TileError(f"decoded to {decoded.dtype} {list(decoded.shape)}")
        return _to_rgb(decoded) if self._ycbcr else decoded


def _to_rgb(ycbcr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rgb = np.empty_like(ycbcr)
    luma, cb, cr = (ycbcr[..., channel] for channel in range(3))
    green = (_GREEN_OF_CB[cb] + _GREEN_OF_CR[cr]) >> 16
    for channel, chroma in enumerate((_RED_OF_CR[cr], green, _BLUE_OF_CB[cb])):
        rgb[..., channel] = np.clip(luma + chroma, 0, 255)
    return rgb


@dataclasses.dataclass(frozen=True)
class _Header:
    """The main header of a codestream.

    Attributes:
      data: the whole codestream.
      segments: marker, start and end of each, after the start of the codestream.
      end: where the first tile part starts.
    """

    data: bytes
    segments: tuple[tuple[int, int, int], ...]
    end: int

    def body(self, marker: int) -> bytes:
        """Return a segment after its length; of several the first.

        Raises:
          TileError: there is none.
        """
        for found, start, end in self.segments:
            if found == marker:
                return self.data[start + 4 : end]
        raise TileError("an incomplete JPEG 2000 header")

    def check(self, width: int, height: int) -> None:
        """Check that this is an image that OpenSlide unpacks without a step between.

        Raises:
          TileError: it is not.
        """
        siz = self.body(_SIZ)
        if len(siz) < 36 or len(siz) != 36 + 3 * _u16(siz, 34):
            raise TileError("an incomplete JPEG 2000 header")
        right, bottom, left, top = (_u32(siz, at) for at in (2, 6, 10, 14))
        if (left, top, right, bottom) != (0, 0, width, height):
            raise TileError(f"a JPEG 2000 image of {right} x {bottom} px, not {width} x {height}")
        components = [siz[at : at + 3] for at in range(36, len(siz), 3)]
        if len(components) != 3 or any(component[0] != _EIGHT_BITS for component in components):
            raise TileError("not a JPEG 2000 image of three 8-bit components")
        if any(component[1:] != b"\x01\x01" for component in components):
            raise TileError("JPEG 2000 with subsampled chroma")

    def has_apart(self, halvings: int) -> bool:
        """Return whether the highest resolutions can be left out, of a checked header."""
        siz, cod, qcd = (self.body(marker) for marker in (_SIZ, _COD, _QCD))
        one_tile = _u32(siz, 18) >= _u32(siz, 2) and _u32(siz, 22) >= _u32(siz, 6)
        simple = all(marker in _PLAIN for marker, _, _ in self.segments)
        if not one_tile or not simple or any(siz[26:34]) or len(cod) < 10 or not qcd:
            return False
        progression, layers, levels = cod[1], _u16(cod, 2), cod[5]
        lowest_first = progression in _BY_RESOLUTION or (progression == _BY_LAYER and layers == 1)
        return lowest_first and qcd[0] & 31 in _QUANTIZED_BYTES and halvings <= levels

    def reduced(self, halvings: int) -> bytes:
        """Return a codestream of the image at a lower resolution that it `has_apart`."""
        siz, cod, qcd = (bytearray(self.body(marker)) for marker in (_SIZ, _COD, _QCD))
        for at in (2, 6, 18, 22):  # width and height of the image, and of its only tile
            siz[at : at + 4] = (-(-_u32(siz, at) >> halvings)).to_bytes(4, "big")
        cod[5] -= halvings
        if cod[0] & 1:  # a byte for the precincts of each resolution
            del cod[-halvings:]
        if each := _QUANTIZED_BYTES[qcd[0] & 31]:
            del qcd[-_SUBBANDS * each * halvings :]
        parts = [_segment(marker, body) for marker, body in ((_SIZ, siz), (_COD, cod), (_QCD, qcd))]
        return b"".join([self.data[:2], *parts, self.data[self.end :]])


def _read_header(data: bytes) -> _Header:
    if not data.startswith(_START):
        raise TileError("no JPEG 2000 codestream")
    segments: list[tuple[int, int, int]] = []
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, end = data[at + 1], at + 2 + _u16(data, at + 2)
        if marker == _START_OF_TILE:
            return _Header(data, tuple(segments), at)
        segments.append((marker, at, end))
        at = end
    raise TileError("an incomplete JPEG 2000 header")


def _segment(marker: int, body: bytes | bytearray) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + bytes(body)


def _u16(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
