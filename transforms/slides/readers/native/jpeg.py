"""Decoding one JPEG tile of a TIFF, at full size or scaled down in the DCT domain.

The decoder is simplejpeg (MIT; libjpeg-turbo in its wheel). Of the libraries that were tried it is
the fastest at full size, and the only one that also has libjpeg-turbo's scaling, writes into a
given array, releases the interpreter's lock and refuses corrupt data. imagecodecs gives the same
pixels but cannot scale; OpenCV is slower and repairs corrupt data silently; libvips and fastslide,
which read regions of whole slides, reached 45 and 25 % of its speed.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import simplejpeg

from beamscope.transforms import jpeg_markers

# libjpeg-turbo scales by these without any arithmetic beyond the smaller inverse transform.
SCALES = (8, 4, 2)

# The Huffman-coded kinds: baseline, extended, progressive.
_HUFFMAN = frozenset({jpeg_markers.SOF0, jpeg_markers.SOF1, jpeg_markers.SOF2})
# Of the components, (horizontal << 4 | vertical): those that TurboJPEG names.
_SUBSAMPLINGS = frozenset(
    {
        (luma, 0x11, 0x11)  # 4:4:4, 4:2:2, 4:4:0, 4:2:0, 4:1:1
        for luma in (0x11, 0x21, 0x12, 0x22, 0x41)
    }
)
# libjpeg's warning about bytes between the last pixel and the end of the image. Some encoders pad
# with zeros there, to even lengths.
_PADDED = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


class TileError(Exception):
    """A tile that cannot be decoded as it is."""


def jpeg_prefix(tables: bytes | None, *, ycbcr: bool) -> bytes:
    """Return the beginning that the tiles of a level lack to be JPEG streams of their own.

    The TIFF gives the colour space, whatever the JPEG has. An Adobe marker tells it to the decoder;
    its last byte is 0 for RGB and 1 for YCbCr.

    Args:
      tables: of TIFF's JPEGTables tag, a JPEG stream without an image; None where tiles are whole.
      ycbcr: whether the TIFF's photometric interpretation is YCbCr rather than RGB.

    Raises:
      TileError: the tables are no JPEG stream.
    """
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + (b"\x01" if ycbcr else b"\x00")
    own = b"" if tables is None else _segments(tables)[0]
    return jpeg_markers.SOI + adobe + own


class TileDecoder:
    """A decoder of the tiles of one level; it uses libjpeg-turbo's defaults, as OpenSlide does.

    Args:
      prefix: see `jpeg_prefix`.
      width: of every tile, px.
      height: of every tile, px.

    Attributes:
      bytes_a_pixel: of memory while a tile is decoded.
      is_jpeg: True.
    """

    bytes_a_pixel = 6
    is_jpeg = True

    def __init__(self, prefix: bytes, width: int, height: int) -> None:
        self._prefix = prefix
        self._size = width, height
        # A tile's own header and what becomes of it: nearly always as in the tile before.
        self._last = b"", b""

    def decode(self, data: bytes, scale: int, out: npt.NDArray[np.uint8]) -> None:
        """Decode a tile into `out`.

        Args:
          data: the tile as it is in the file.
          scale: 1, or one of `SCALES`: by how much the decoder shrinks the tile.
          out: uint8 RGB ``[height / scale, width / scale, 3]``, contiguous.

        Raises:
          TileError: the data is cut off or corrupt, however little (nothing is repaired), or an
            image of another size. Zeros that pad the end of the data are no damage.
        """
        try:
            self._decode(self.stream(data), scale, out)
        except ValueError as error:
            padded = _PADDED.search(str(error))
            if padded is None or not data.endswith(jpeg_markers.EOI):
                raise TileError(str(error)) from error
            end = len(data) - len(jpeg_markers.EOI) - int(padded[1])
            if any(
                data[end : -len(jpeg_markers.EOI)]
            ):  # left-over data: some of the tile is damaged
                raise TileError(str(error)) from error
            # Without its padding the tile has to be whole, to the last bit.
            self.decode(data[:end] + jpeg_markers.EOI, scale, out)

    def _decode(self, stream: bytes, scale: int, out: npt.NDArray[np.uint8]) -> None:
        height, width = out.shape[:2]
        decoded = simplejpeg.decode_jpeg(
            stream, "RGB", min_height=height, min_width=width, min_factor=scale, buffer=out
        )
        if decoded.shape != out.shape:
            raise TileError(f"decoded to {decoded.shape[1]} x {decoded.shape[0]} px")

    def stream(self, data: bytes) -> bytes:
        """Return a tile as a JPEG stream that stands alone.

        Raises:
          TileError: the tile is of another size, or a kind of JPEG that is not decoded here.
        """
        head, own = self._last
        if not head or not data.startswith(head):
            segments, frame, image = _segments(data)
            if frame is None or image is None:
                raise TileError("no image in the JPEG data")
            _check(frame, *self._size)
            head, own = data[:image], self._prefix + segments + data[image - 2 : image]
            self._last = head, own
        return own + data[len(head) :]


def _check(frame: bytes, width: int, height: int) -> None:
    if len(frame) < 15 or frame[0] != 8 or frame[5] != 3:
        raise TileError("not a JPEG image of three 8-bit components")
    if (found := (_u16(frame, 3), _u16(frame, 1))) != (width, height):
        raise TileError(f"a JPEG image of {found[0]} x {found[1]} px, not {width} x {height}")
    if (frame[7], frame[10], frame[13]) not in _SUBSAMPLINGS:
        raise TileError("an unusual chroma subsampling")


def _segments(data: bytes) -> tuple[bytes, bytes | None, int | None]:
    """Walk over a JPEG stream up to its image data.

    Returns:
      the segments but those that speak of the colour space; the body of the frame header, None
      where there is none; and the end of the start-of-scan marker, likewise.
    """
    kept: list[bytes] = []
    frame = None
    try:
        for segment in jpeg_markers.segments(data):
            if segment.marker == jpeg_markers.END:
                break
            if segment.marker == jpeg_markers.SCAN:
                return b"".join(kept), frame, segment.start + 2
            if segment.marker in _HUFFMAN:
                frame = segment.body(data)
            if segment.marker not in (jpeg_markers.APP0, jpeg_markers.APP14):
                kept.append(data[segment.start : segment.end])
    except jpeg_markers.MarkerError as error:
        raise TileError(str(error)) from error
    return b"".join(kept), frame, None


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
