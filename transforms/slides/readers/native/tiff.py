"""The levels of a tiled TIFF slide, as OpenSlide finds them, and where their tiles are."""

from __future__ import annotations

import dataclasses
import io
import itertools
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import tifffile

from beamscope.transforms.problems import one_line
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.native.jp2k import Jpeg2000Decoder
from beamscope.transforms.slides.readers.native.jpeg import TileDecoder, TileError, jpeg_prefix
from beamscope.transforms.slides.readers.native.properties import UnservedError, slide_properties
from beamscope.transforms.slides.readers.native.tile_grid import TileGrid
from beamscope.transforms.slides.readers.tiff_bounds import check_tiff, check_total
from beamscope.transforms.storage.byte_source import ByteSource, as_file

# Values of TIFF tags (TIFF 6.0).
_JPEG = 7
# Aperio's own, JPEG 2000 of YCbCr and of RGB, which OpenSlide knows in Aperio's slides alone. The
# registered 34712 is not here: OpenSlide opens no slide of it.
_JPEG_2000_YCBCR, _JPEG_2000_RGB = 33003, 33005
_RGB, _YCBCR = 2, 6
_CONTIGUOUS = 1
_REDUCED_IMAGE = 1  # bit of NewSubfileType
_XML_PACKET, _NDPI_MARK = 700, 65420

# Scanners write tiles of 240 to 1024 px; a much larger one is not worth decoding for a patch.
MAX_TILE_PX = 4096
# A JPEG that is larger than its pixels in the raw is none.
MAX_TILE_BYTES = 3 * MAX_TILE_PX**2


# What `read_levels` answers to a DICOM file, which may also be a TIFF (PS3.10, 7.1).
DICOM = NotServed("a DICOM file, not read as a TIFF")
_DICOM_MAGIC_AT, _DICOM_MAGIC = 128, b"DICM"


class Decoder(Protocol):
    """A decoder of the tiles of one level.

    Attributes:
      bytes_a_pixel: of memory while a tile is decoded.
      is_jpeg: whether `stream` gives a JPEG.
    """

    bytes_a_pixel: int
    is_jpeg: bool

    def decode(self, data: bytes, scale: int, out: npt.NDArray[np.uint8]) -> None:
        """Decode a tile into `out`; see `TileDecoder.decode`."""

    def stream(self, data: bytes) -> bytes:
        """Return a tile as an image that stands alone; see `TileDecoder.stream`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class TileLevel:
    """A level of the pyramid, as it is stored.

    Attributes:
      number: its place among the levels.
      width: px.
      height: px.
      downsample: level-0 pixels per pixel of this level, as OpenSlide computes it.
      tile_width: px.
      tile_height: px.
      offsets: int64 ``[tiles_down, tiles_across]``, where each tile starts in the file.
      lengths: int64, likewise, bytes of each tile; 0 for one that is missing.
      decoder: of its tiles.
      not_served: why this level cannot be read natively; None where it can.
    """

    number: int
    width: int
    height: int
    downsample: float
    tile_width: int
    tile_height: int
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    decoder: Decoder
    not_served: str | None

    def grid(self, shrink: int = 1) -> TileGrid:
        """Return its tiles, as they are or shrunk by a divisor of their sides."""
        return TileGrid(
            self.width // shrink,
            self.height // shrink,
            self.tile_width // shrink,
            self.tile_height // shrink,
            self.lengths > 0,
        )

    def where(self, row: int, column: int) -> str:
        """Name a tile for a person."""
        return f"tile ({column}, {row}) of level {self.number}"


def read_levels(source: ByteSource) -> tuple[dict[str, str], list[TileLevel]] | NotServed:
    """Read the directories of a TIFF slide.

    Args:
      source: the file. Of it only the directories are read, 64 KiB at a time.

    Returns:
      the properties, see `slide_properties`; and the levels that OpenSlide has, in its order. Or
      why this is not a TIFF of one of these kinds.

    Raises:
      InputError: the bytes cannot be had; or ``impossible_header`` or ``slide_too_large``, see
        `check_tiff`.
    """
    file = as_file(source)
    file.seek(_DICOM_MAGIC_AT)
    if file.read(len(_DICOM_MAGIC)) == _DICOM_MAGIC:
        return DICOM
    file.seek(0)  # A TIFF begins where tifffile finds the file.
    # The lengths of tiles are held against the file below.
    check_tiff(source, tables=False)
    try:
        with tifffile.TiffFile(file) as tiff:
            vendor = _vendor(tiff.pages[0])
            pages = list(tiff.pages)
            _check_whole(file, tiff.tiff, pages)
            levels = _levels(vendor, pages)
            # OpenSlide opens some files that are cut off, and refuses others.
            if any(((level.offsets + level.lengths) > source.size).any() for level in levels):
                raise UnservedError("tiles lie beyond the end of the file")
            for level in levels:
                check_total(f"level {level.number}", level.lengths, source.size)
            return slide_properties(vendor, pages[0]), levels
    except UnservedError as error:
        return NotServed(str(error))
    # tifffile raises any of these for a damaged directory; OpenSlide decides about such a file.
    except (
        tifffile.TiffFileError,
        struct.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        ElementTree.ParseError,
    ) as error:
        return NotServed(f"no TIFF that can be read: {one_line(error)}")


def _check_whole(
    file: BinaryIO, form: tifffile.TiffFormat, pages: Sequence[tifffile.TiffPage]
) -> None:
    """Refuse a file whose directories are damaged or cut off; tifffile leaves such entries out."""

    def number(form: str, size: int) -> int:
        return int(struct.unpack(form, file.read(size))[0])

    for page, following in itertools.zip_longest(pages, pages[1:]):
        file.seek(page.offset)
        tags = number(form.tagnoformat, form.tagnosize)
        file.seek(tags * form.tagsize, io.SEEK_CUR)
        after = number(form.offsetformat, form.offsetsize)
        if len(page.tags) != tags or after != (following.offset if following else 0):
            raise UnservedError("a directory is damaged or cut off")


def _vendor(first: tifffile.TiffPage) -> str:
    """Return the vendor of a slide by the marks in its first directory that OpenSlide looks for."""
    description, software = first.description, first.software
    if not first.is_tiled:
        raise UnservedError("its first image is not tiled")
    others = {
        "hamamatsu": _NDPI_MARK in first.tags,
        "leica": description.startswith("<?xml") and "leica-microsystems.com/scn" in description,
        "trestle": software.startswith("MedScan"),
        "ventana": _XML_PACKET in first.tags and b"iScan" in bytes(first.tags[_XML_PACKET].value),
    }
    for vendor, found in others.items():
        if found:
            raise UnservedError(f"a slide of {vendor}")
    if description.startswith("Aperio"):
        return "aperio"
    if software.startswith("Philips") and "DPUfsImport" in description:
        return "philips"
    return "generic-tiff"


def _levels(vendor: str, pages: Sequence[tifffile.TiffPage]) -> list[TileLevel]:
    tiled = [page for page in pages if page.is_tiled]
    if any(page.imagedepth != 1 for page in tiled):
        raise UnservedError("a volume")
    if vendor != "aperio":
        tiled = [p for p in tiled if p is pages[0] or p.subfiletype & _REDUCED_IMAGE]
    if vendor == "generic-tiff":
        tiled.sort(key=lambda page: -page.imagewidth)
    if vendor == "philips":
        sizes, downsamples = _philips_sizes(pages[0].description, tiled)
    else:
        sizes = [(page.imagewidth, page.imagelength) for page in tiled]
        width, height = sizes[0]
        downsamples = [(width / w + height / h) / 2 for w, h in sizes]
    levels = [
        _level(number, vendor, *level)
        for number, level in enumerate(zip(tiled, sizes, downsamples, strict=True))
    ]
    if sorted(downsamples) != downsamples:
        raise UnservedError(f"downsamples are not in order: {downsamples}")
    return _without_redrawn(levels) if vendor == "aperio" else levels


def _without_redrawn(levels: list[TileLevel]) -> list[TileLevel]:
    """Mark the Aperio levels of which OpenSlide draws tiles from the next finer level.

    It does so with a missing tile, and with whatever covers one in the coarser levels.
    """
    whole = [bool(level.lengths.all()) for level in levels]
    return [
        level
        if number == 0 or all(whole[: number + 1])
        else dataclasses.replace(level, not_served="missing tiles, drawn from a finer level")
        for number, level in enumerate(levels)
    ]


def _level(
    number: int, vendor: str, page: tifffile.TiffPage, size: tuple[int, int], downsample: float
) -> TileLevel:
    across, down = (
        -(-length // side)
        for length, side in ((page.imagewidth, page.tilewidth), (page.imagelength, page.tilelength))
    )
    reason = _why_not(vendor, page)
    decoder: TileDecoder | Jpeg2000Decoder = TileDecoder(b"", page.tilewidth, page.tilelength)
    if reason is None:
        try:
            decoder = _decoder(page)
        except TileError as error:
            reason = f"JPEG tables: {error}"
    offsets, lengths = (
        np.array(values[: across * down], np.int64).reshape(down, across)
        for values in (page.dataoffsets, page.databytecounts)
    )
    return TileLevel(
        number,
        *size,
        downsample,
        page.tilewidth,
        page.tilelength,
        offsets,
        np.where(offsets > 0, lengths, 0),
        decoder,
        reason,
    )


def _decoder(page: tifffile.TiffPage) -> TileDecoder | Jpeg2000Decoder:
    size = page.tilewidth, page.tilelength
    if page.compression == _JPEG:
        return TileDecoder(jpeg_prefix(page.jpegtables, ycbcr=page.photometric == _YCBCR), *size)
    # The photometric interpretation says nothing here: OpenSlide goes by the compression.
    return Jpeg2000Decoder(*size, ycbcr=page.compression == _JPEG_2000_YCBCR)


def _why_not(vendor: str, page: tifffile.TiffPage) -> str | None:
    """Return why a directory's tiles cannot be decoded as OpenSlide does; None where they can."""
    jpeg_2000 = vendor == "aperio" and page.compression in (_JPEG_2000_YCBCR, _JPEG_2000_RGB)
    if page.compression != _JPEG and not jpeg_2000:
        name = getattr(page.compression, "name", "")
        return f"compression {int(page.compression)} {name}".rstrip()
    if page.samplesperpixel != 3 or not (jpeg_2000 or page.photometric in (_RGB, _YCBCR)):
        return f"{page.samplesperpixel} samples of photometric interpretation {page.photometric}"
    if page.bitspersample != 8:
        return f"{page.bitspersample} bits a sample"
    if page.planarconfig != _CONTIGUOUS:
        return "separate colour planes"
    if max(page.tilewidth, page.tilelength) > MAX_TILE_PX:
        return f"tiles of {page.tilewidth} x {page.tilelength} px"
    return None


def _philips_sizes(
    description: str, pages: Sequence[tifffile.TiffPage]
) -> tuple[list[tuple[int, int]], list[float]]:
    """Return sizes without the padding that Philips counts in, and downsamples, from its XML."""
    spacings = [
        [float(number.strip('" ')) for number in (element.text or "").split()]
        for element in ElementTree.fromstring(description).iterfind(
            ".//DataObject[@ObjectType='PixelDataRepresentation']"
            "/Attribute[@Name='DICOM_PIXEL_SPACING']"
        )
    ]
    if len(spacings) != len(pages):
        raise UnservedError(f"{len(pages)} levels, but {len(spacings)} pixel spacings")
    (y0, x0), width, height = spacings[0], pages[0].imagewidth, pages[0].imagelength
    downsamples = [float(round((x / x0 + y / y0) / 2)) for y, x in spacings]
    sizes = [(int(width / downsample), int(height / downsample)) for downsample in downsamples]
    return sizes, downsamples
