"""TIFF files of one image: decoded by tifffile, after a look at what it would fill in silently.

tifffile takes missing strips and tiles for black, and so they are looked for here. The codecs of
JPEG in TIFF mend damage without a word: such damage in the middle of a strip is not noticed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_KNOWN = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR)
_JPEG = (6, 7)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_ORIENTATION = 274
_MOST_SAMPLES = 4


def decode_tiff(
    data: bytes, check_pixels: Callable[[int, int], None], noun: str
) -> tuple[npt.NDArray[np.uint8 | np.uint16], int]:
    """Decode the image of a TIFF.

    Args:
      data: the whole file.
      check_pixels: raises where width and height are too large.
      noun: for the image in messages, such as ``film``.

    Returns:
      uint8 or uint16 ``[height, width]`` or ``[height, width, channels]``, with 1 to 4 channels:
      grey or RGB, black being 0, and an alpha that is not multiplied in; and the orientation.

    Raises:
      InputError: ``corrupt_image``, ``truncated_image``, ``multi_frame``, ``too_many_pixels``,
        ``unsupported_image``.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = _only_page(file, noun)
            check_pixels(page.imagewidth, page.imagelength)
            if page.is_tiled:
                check_pixels(page.tilewidth, page.tilelength)
            if page.samplesperpixel > _MOST_SAMPLES:
                raise _unsupported(f"{page.samplesperpixel} samples a pixel")
            _check_whole(page, len(data))
            return _values(page), _orientation(page)
    except InputError:
        raise
    except MemoryError:
        raise
    # tifffile and its codecs raise whatever the damage leads to, from KeyError to struct.error.
    except Exception as error:  # noqa: BLE001
        raise InputError(Kind.CORRUPT_IMAGE, f"TIFF: {one_line(error)}") from None


def _only_page(file: tifffile.TiffFile, noun: str) -> tifffile.TiffPage:
    # Smaller versions and masks beside the image are no frames of it.
    pages = [page for page in file.pages if not page.is_reduced and not page.is_mask]
    if not pages:
        raise InputError(Kind.CORRUPT_IMAGE, "TIFF: it has no image")
    if len(pages) > 1:
        raise InputError(Kind.MULTI_FRAME, f"TIFF: {len(pages)} pages, not one {noun}")
    page = pages[0]
    if not isinstance(page, tifffile.TiffPage):
        raise InputError(Kind.CORRUPT_IMAGE, "TIFF: it has no image")
    if page.imagedepth > 1:
        raise InputError(Kind.MULTI_FRAME, f"TIFF: {page.imagedepth} planes of depth")
    return page


def _check_whole(page: tifffile.TiffPage, size: int) -> None:
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not places or any(not offset or not count for offset, count in places):
        raise InputError(Kind.CORRUPT_IMAGE, "TIFF: strips or tiles are missing")
    if any(offset + count > size for offset, count in places):
        raise InputError(Kind.TRUNCATED_IMAGE, "TIFF: it is cut off before its end")


def _values(page: tifffile.TiffPage) -> npt.NDArray[np.uint8 | np.uint16]:
    photometric = int(page.photometric) if page.photometric is not None else -1
    if photometric not in _KNOWN or (photometric == _YCBCR and page.compression not in _JPEG):
        name = getattr(page.photometric, "name", str(page.photometric))
        raise _unsupported(f"photometric interpretation {name}")
    if page.dtype is None or page.dtype not in (np.uint8, np.uint16, np.bool_):
        raise _unsupported(f"{page.dtype} samples")
    if page.bitspersample not in (1, 8, 16):
        raise _unsupported(f"{page.bitspersample} bits a sample")
    values: npt.NDArray[Any] = page.asarray()
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    white = int(np.iinfo(values.dtype).max)
    if photometric == _WHITE_IS_ZERO:
        if values.ndim > 2:
            raise _unsupported("white as zero, with more samples than one")
        return white - values
    if photometric == _PALETTE:
        if page.colormap is None or values.ndim > 2:
            raise _unsupported("a palette with more samples than one, or none")
        colours = np.moveaxis(np.asarray(page.colormap), 0, -1)
        # Of a palette's 16 bits the upper 8 count; some writers fill the lower 8 only.
        if colours.max(initial=0) > 255:
            colours = colours >> 8
        return colours.astype(np.uint8)[values]
    return _with_alpha(page, values, 1 if photometric == _BLACK_IS_ZERO else 3, white)


def _with_alpha(
    page: tifffile.TiffPage, values: npt.NDArray[Any], colours: int, white: int
) -> npt.NDArray[Any]:
    channels = 1 if values.ndim == 2 else values.shape[2]
    kinds = tuple(int(kind) for kind in page.extrasamples)
    if channels == colours:
        return values
    if channels != colours + 1 or kinds[:1] not in ((_ASSOCIATED,), (_UNASSOCIATED,)):
        raise _unsupported(f"{channels} samples a pixel, of which {colours} are known colours")
    if kinds[0] == _ASSOCIATED:
        alpha = values[..., -1:].astype(np.float64)
        single = values[..., :-1] * (white / np.maximum(alpha, 1))
        values = np.concatenate(
            [np.rint(np.clip(single, 0, white)).astype(values.dtype), values[..., -1:]], axis=-1
        )
    return values


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get(_ORIENTATION)
    return 1 if tag is None else int(tag.value)


def _unsupported(what: str) -> InputError:
    return InputError(Kind.UNSUPPORTED_IMAGE, f"TIFF: {what}")
