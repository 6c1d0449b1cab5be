"""Check that OpenSlide shows a generic TIFF as it is meant.

Some pixels it passes on without an error, although they are not the slide's colours: the first of
three grey planes, 12 bits in 16, tiles that must be turned. The directories of the file tell.
"""

from __future__ import annotations

import itertools
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np
import tifffile

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.byte_source import ByteSource, LocalSource, as_file
from beamscope.transforms.storage.remote_source import RemoteSource

GENERIC = "generic-tiff"

# Values of tags (TIFF 6.0).
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG = (6, 7)
_UPRIGHT = 1
_UNSIGNED = 1
_ALPHA = (1, 2)
_REDUCED, _TRANSPARENCY_MASK = 1, 4  # bits of NewSubfileType
_ORIENTATION, _YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 274, 529, 532
# JPEG knows these alone (JFIF 1.02); its decoders do not ask the TIFF around it.
_JPEG_COEFFICIENTS = (0.299, 0.587, 0.114)
_JPEG_REFERENCE = (0, 255, 128, 255, 128, 255)
# Of files with thousands of planes the first tell as much as all.
_PAGES = 64
# Of so many tiles of the smallest level the largest value is looked for.
_TILES = 16


def check_generic_tiff(uri: str) -> None:
    """Check that OpenSlide reads a generic TIFF's pixels as they are meant.

    Args:
      uri: of the file, local or remote. Its directories are read, by byte ranges, and a few tiles
        where it has 16 bits a sample.

    Raises:
      InputError: ``unsupported_slide``, with the reason; ``missing_file`` and others of the source.
    """
    source = LocalSource(uri) if files.is_local(uri) else RemoteSource(uri)
    try:
        _check(source)
    finally:
        source.close()


def _check(source: ByteSource) -> None:
    try:
        with tifffile.TiffFile(as_file(source)) as tiff:
            pages = [page.aspage() for page in itertools.islice(tiff.pages, _PAGES)]
            reason = _reason(pages)
    # A damaged directory shows in tifffile as any of these. Whether the slide can be read is up to
    # its reader, which has opened it.
    except (
        tifffile.TiffFileError, struct.error, ArithmeticError, AttributeError, LookupError,
        TypeError, ValueError,
    ):  # fmt: skip
        return
    if reason:
        raise InputError(Kind.UNSUPPORTED_SLIDE, reason)


def _reason(pages: Sequence[tifffile.TiffPage]) -> str | None:
    """Return why a file's pixels cannot be taken as OpenSlide gives them; None where they can."""
    first = pages[0]
    return _why_not_these_samples(first) or _why_not_these_pages(pages) or _why_not_so_bright(pages)


def _why_not_these_samples(page: tifffile.TiffPage) -> str | None:
    photometric = int(page.photometric)
    name = getattr(page.photometric, "name", str(photometric))
    orientation = _tag(page, _ORIENTATION, (_UPRIGHT,))[0]
    extra = [int(kind) for kind in page.extrasamples or ()]
    colours = page.samplesperpixel - len(extra)
    if orientation != _UPRIGHT:
        return (
            f"Orientation {orientation}: it is to be shown turned or mirrored, and OpenSlide turns "
            "each tile by itself; save it upright"
        )
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR):
        return f"its colours are {name}, which has no certain RGB; save it in RGB"
    if colours != (3 if photometric in (_RGB, _YCBCR) else 1):
        return f"{page.samplesperpixel} samples a pixel of {name}; save it in RGB"
    if any(kind not in _ALPHA for kind in extra) or len(extra) > 1:
        samples = "1 sample" if len(extra) == 1 else f"{len(extra)} samples"
        return f"{samples} more than {name} has, which nothing explains; save it in RGB"
    if extra and colours == 1:
        return "grey with transparency, which OpenSlide mixes wrongly; save it in RGB"
    if int(page.sampleformat or _UNSIGNED) != _UNSIGNED:
        return f"samples of format {page.sampleformat}, not whole numbers from 0; save it in 8 bits"
    if page.bitspersample > 8 and page.bitspersample != 16:
        return f"{page.bitspersample} bits a sample; save it in 8 bits"
    if page.imagedepth > 1:
        return f"a volume of {page.imagedepth} planes; save one of them"
    if photometric == _YCBCR and int(page.compression) in _JPEG:
        coefficients = _tag(page, _YCBCR_COEFFICIENTS, _JPEG_COEFFICIENTS)
        reference = _tag(page, _REFERENCE_BLACK_WHITE, _JPEG_REFERENCE)
        if not np.allclose(coefficients, _JPEG_COEFFICIENTS, atol=1e-3):
            return f"YCbCrCoefficients {_shown(coefficients)}, which JPEG does not have"
        if not np.allclose(reference, _JPEG_REFERENCE, atol=1):
            return f"ReferenceBlackWhite {_shown(reference)}, which JPEG does not have"
    return None


def _why_not_these_pages(pages: Sequence[tifffile.TiffPage]) -> str | None:
    first = pages[0]
    whole = [page for page in pages if not page.subfiletype & (_REDUCED | _TRANSPARENCY_MASK)]
    size = first.imagewidth, first.imagelength
    grey = [
        page
        for page in whole
        if (page.imagewidth, page.imagelength) == size and page.samplesperpixel == 1
    ]
    if first.samplesperpixel == 1:
        channels = _ome_channels(first.description)
        if channels > 1 or (channels == 0 and len(grey) > 1):
            count = channels or len(grey)
            return (
                f"{count} grey planes of {size[0]} x {size[1]} px, one a channel, and OpenSlide "
                "shows the first alone; save it as RGB, three samples a pixel"
            )
    larger = [
        page
        for page in whole
        if page.is_tiled and page.imagewidth * page.imagelength > size[0] * size[1]
    ]
    if larger:
        page = larger[0]
        return (
            f"page {page.index + 1} is {page.imagewidth} x {page.imagelength} px, and the first, "
            f"which OpenSlide shows, {size[0]} x {size[1]} px; save the slide as the first page"
        )
    return None


def _ome_channels(description: str) -> int:
    """Return how many channels the first image of an OME-TIFF has; 0 for what is no OME-XML."""
    if "OME" not in description[:2000]:
        return 0
    try:
        pixels = next(
            element
            for element in ElementTree.fromstring(description).iter()
            if element.tag.rpartition("}")[2] == "Pixels"
        )
        return int(pixels.get("SizeC", "1"))
    except (ElementTree.ParseError, StopIteration, ValueError):
        return 0


def _why_not_so_bright(pages: Sequence[tifffile.TiffPage]) -> str | None:
    """Return why 16 bits cannot be cut to 8: white is 65535 in TIFF, 4095 in many cameras."""
    first = pages[0]
    if first.bitspersample != 16 or int(first.photometric) == _PALETTE:
        return None
    levels = [page for page in pages if page is first or page.subfiletype & _REDUCED]
    smallest = min(levels, key=lambda page: page.imagewidth * page.imagelength)
    tiles = len(smallest.dataoffsets)
    largest = 0
    for index in range(0, tiles, max(1, -(-tiles // _TILES))):
        offset, length = smallest.dataoffsets[index], smallest.databytecounts[index]
        if not length:
            continue
        file = smallest.parent.filehandle
        file.seek(offset)
        pixels, _, _ = smallest.decode(file.read(length), index)
        if pixels is not None:
            largest = max(largest, int(pixels.max()))
    if largest >= 1 << 15:
        return None
    return (
        f"16 bits a sample, but no value above {largest} in {_TILES} tiles; OpenSlide takes the "
        "upper 8 bits, and shows it too dark; save it in 8 bits"
    )


def _tag(page: tifffile.TiffPage, code: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return a tag's values as numbers; rationals are divided."""
    tag = page.tags.get(code)
    if tag is None:
        return default
    value = tag.value
    values = value if isinstance(value, tuple) else (value,)
    if len(values) == 2 * len(default):
        return tuple(a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True))
    return tuple(values)


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
