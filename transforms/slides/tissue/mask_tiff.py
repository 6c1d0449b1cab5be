"""Read tissue masks from TIFF files: the samples as they were saved, at a level that suffices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.tiff_bounds import check_tiff
from beamscope.transforms.slides.tissue.mask_values import (
    MANY_PIXELS,
    MaskImage,
    background_indices,
    check_mask_bytes,
    is_lossless_webp,
    largest,
)
from beamscope.transforms.storage.byte_source import LocalSource

Bools = npt.NDArray[np.bool_]
_Values = npt.NDArray[Any]

# Photometric interpretations (TIFF 6.0).
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _YCBCR = 0, 1, 2, 3, 4, 6
_ALPHA = (1, 2)  # values of ExtraSamples: associated, unassociated
_CONTIGUOUS = 1
# Compressions, by their numbers in TIFF.
_FAX = (2, 3, 4)
_LOSSLESS = (1, *_FAX, 5, 8, 32773, 32946, 34925, 34926, 34933, 50000)
_JPEG = (6, 7, 33007, 34892)
_WEBP = (34927, 50001)
# Rows of an uncompressed page that are read in one go have about this many pixels.
_ROWS_PIXELS = 1 << 24
# So many values of a reduced level are looked for in the level that it was made from.
_VALUES_CHECKED = 8


def read_tiff_mask(path: Path, enough: tuple[float, float] | None) -> MaskImage:
    """Read the mask of a TIFF file.

    A pixel is tissue where a sample is above 0. Of WhiteIsZero the samples count, not the
    brightness that they stand for: tifffile saves boolean arrays so, with True as 1, and ImageJ
    binary masks, with 255 for what is inside. Fax compression alone is taken at its word, because
    programs that write it turn a picture's white into 0.

    Args:
      path: of a local file.
      enough: width and height in pixels that suffice; None for all that there are. Of a pyramid
        the finest level that is not large is read, or the coarsest that suffices; and of a level
        that is large all the same each piece is averaged down when it is read.

    Raises:
      InputError: ``bad_mask`` for pixels that tell nothing for certain about tissue.
      ValueError, OSError and others of tifffile: the file is damaged.
    """
    _check_claims(path)
    with tifffile.TiffFile(path) as tiff:
        levels = _levels(path, tiff)
        width, height = enough or (float("inf"), float("inf"))
        page = _level(levels, width, height)
        _check_room(path, page, page.imagewidth)
        samples = _samples(path, page)
        if page is not levels[0] and not samples.lossy and _is_averaged(page, levels[0], samples):
            samples = dataclasses.replace(samples, lossy=True)
        if samples.lossy:
            most = max((_most(samples.values(piece)) for _, _, piece in _pieces(page)), default=0)
            samples = dataclasses.replace(samples, least=most // 2)
        factor = 1
        if page.imagewidth * page.imagelength > MANY_PIXELS:
            factor = max(1, int(min(page.imagewidth / width, page.imagelength / height)))
        _check_room(path, page, factor)
        return _read_page(page, samples, factor)


def _check_claims(path: Path) -> None:
    """Check what the directories claim, as of a slide."""
    source = LocalSource(path)
    try:
        check_tiff(source)
    except InputError as error:
        raise InputError(Kind.BAD_MASK, f"{path}: {error.message}") from None
    finally:
        source.close()


def _check_room(path: Path, page: tifffile.TiffPage, factor: int) -> None:
    """Check the size of a page's pieces, and of the mask once it is averaged by a factor."""
    bytes_a_pixel = page.samplesperpixel * max(1, page.bitspersample // 8)
    if page.is_tiled:
        check_mask_bytes(path, (page.tilewidth, page.tilelength), bytes_a_pixel)
    elif not page.is_memmappable:
        rows = min(page.rowsperstrip, page.imagelength)
        check_mask_bytes(path, (page.imagewidth, rows), bytes_a_pixel)
    if page.planarconfig != _CONTIGUOUS and page.samplesperpixel > 1:
        check_mask_bytes(path, (page.imagewidth, page.imagelength), bytes_a_pixel)
    size = -(-page.imagewidth // factor), -(-page.imagelength // factor)
    check_mask_bytes(path, size, 1 if factor == 1 else 4)


@dataclasses.dataclass(frozen=True)
class _Samples:
    """How the samples of a page tell tissue.

    Attributes:
      colours: how many of a pixel's samples, the first ones, tell tissue.
      alpha: the place of the sample that says what is visible; None where all is.
      lossy: whether values beside an edge are made up, so that only half of the range tells.
      least: a value must be above it to be tissue.
      inverted: whether 0 is tissue.
      background: of a palette, the indices that are none.
    """

    colours: int
    alpha: int | None = None
    lossy: bool = False
    least: int = 0
    inverted: bool = False
    background: tuple[int, ...] = ()

    def values(self, piece: _Values) -> _Values:
        """Return the largest of each pixel's samples that tell tissue, ``[h, w]``."""
        return largest(piece[..., : self.colours])

    def tissue(self, piece: _Values) -> Bools:
        """Return where a piece ``[h, w, samples]`` of the page is tissue, bool ``[h, w]``."""
        values = self.values(piece)
        if self.inverted:
            on = values == 0
        elif self.background:
            on = ~np.isin(values, self.background)
        else:
            on = values > self.least
        if self.alpha is not None:
            on &= piece[..., self.alpha] > 0
        return np.asarray(on, bool)


def _levels(path: Path, tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the mask's page and its smaller versions, from large to small."""
    pages = list(tiff.pages)
    first = pages[0].aspage()
    smaller, planes = [], 1
    for page in [*(first.pages or ()), *pages[1:]]:
        page = page.aspage()
        size = page.imagewidth, page.imagelength
        if size == (first.imagewidth, first.imagelength):
            planes += 1
        elif page.is_reduced and _is_smaller_version(page, first):
            smaller.append(page)
    if planes > 1 or first.imagedepth > 1:
        raise InputError(
            Kind.BAD_MASK,
            f"{path} holds {planes * first.imagedepth} planes of {first.imagewidth} x "
            f"{first.imagelength} px, and nothing says which is the mask; save that one alone",
        )
    return [first, *sorted(smaller, key=lambda page: -page.imagewidth)]


def _level(levels: list[tifffile.TiffPage], width: float, height: float) -> tifffile.TiffPage:
    enough = [p for p in levels if p.imagewidth >= width and p.imagelength >= height]
    small = [p for p in enough if p.imagewidth * p.imagelength <= MANY_PIXELS]
    return (small or enough[-1:] or levels)[0]


def _is_smaller_version(page: tifffile.TiffPage, first: tifffile.TiffPage) -> bool:
    alike = all(
        getattr(page, name) == getattr(first, name)
        for name in ("samplesperpixel", "bitspersample", "photometric", "dtype")
    )
    across, down = first.imagewidth / page.imagewidth, first.imagelength / page.imagelength
    # A side is rounded to whole pixels, up or down.
    slack = max(across / page.imagewidth, down / page.imagelength)
    return alike and across > 1 and abs(across - down) <= slack


def _samples(path: Path, page: tifffile.TiffPage) -> _Samples:
    photometric, count = int(page.photometric), page.samplesperpixel
    compression = int(page.compression)
    extra = [int(kind) for kind in page.extrasamples or ()]
    lossy = _is_lossy(path, page)
    colours = count - len(extra)
    if photometric not in (
        _WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _YCBCR,
    ) or (photometric == _YCBCR and compression not in _JPEG):  # fmt: skip
        name = getattr(page.photometric, "name", photometric)
        raise _bad(path, f"has the colours {name}; save it in grey or RGB")
    wanted = 3 if photometric in (_RGB, _YCBCR) else 1
    if colours != wanted or any(kind not in _ALPHA for kind in extra[:1]) or len(extra) > 1:
        raise _bad(path, f"has {count} samples a pixel, and nothing says which is the mask")
    if page.dtype is None:
        raise _bad(path, f"has samples of {page.bitspersample} bits, which are not read")
    if page.dtype.kind not in "buif":
        raise _bad(path, f"has samples of type {page.dtype}")
    background: tuple[int, ...] = ()
    if photometric == _PALETTE:
        if page.colormap is None:
            raise _bad(path, "has a palette, but no colours for it")
        used: set[int] = set()
        for _, _, piece in _pieces(page):
            used.update(np.unique(piece[..., 0]).tolist())
        rows = (page.colormap.T >> 8).tolist() if page.colormap.max() > 255 else page.colormap.T
        background = background_indices(path, [tuple(map(int, row)) for row in rows], used)
    return _Samples(
        colours,
        colours if extra else None,
        lossy,
        inverted=photometric == _WHITE_IS_ZERO and compression in _FAX,
        background=background,
    )


def _is_lossy(path: Path, page: tifffile.TiffPage) -> bool:
    compression = int(page.compression)
    if compression in _LOSSLESS:
        return False
    if compression in _JPEG:
        return True
    if compression not in _WEBP:
        name = getattr(page.compression, "name", str(compression))
        raise _bad(path, f"has the compression {name}, which may change values; save it with LZW")
    segments = (_segment(page, index) for index in range(len(page.dataoffsets)))
    return not all(is_lossless_webp(data) for data in segments if data)


def _segment(page: tifffile.TiffPage, index: int) -> bytes:
    """Return a tile or strip as it is stored."""
    file = page.parent.filehandle
    file.seek(page.dataoffsets[index])
    return bytes(file.read(page.databytecounts[index]))


def _pieces(page: tifffile.TiffPage) -> Iterator[tuple[int, int, _Values]]:
    """Yield the page in pieces: top, left, and samples ``[h, w, samples]``."""
    height, width, count = page.imagelength, page.imagewidth, page.samplesperpixel
    if page.is_memmappable:
        shape = (height, width, count) if page.planarconfig == _CONTIGUOUS else None
        whole = page.asarray(out="memmap")
        whole = whole.reshape(shape) if shape else np.moveaxis(whole, 0, -1)
        step = max(1, _ROWS_PIXELS // width)
        for top in range(0, height, step):
            yield top, 0, whole[top : top + step]
    elif page.planarconfig != _CONTIGUOUS and count > 1:
        yield 0, 0, np.moveaxis(page.asarray(), 0, -1)
    else:
        for data, place, _ in page.segments(maxworkers=1):
            if data is not None:
                _, _, top, left, _ = place
                yield top, left, data[0, : height - top, : width - left]


def _read_page(page: tifffile.TiffPage, samples: _Samples, factor: int) -> MaskImage:
    height, width = page.imagelength, page.imagewidth
    if factor == 1:
        pixels = np.zeros((height, width), bool)
        for top, left, piece in _pieces(page):
            part = samples.tissue(piece)
            pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
        return MaskImage(pixels, width, height)
    total = np.zeros((-(-height // factor), -(-width // factor)), np.float32)
    for top, left, piece in _pieces(page):
        part = samples.tissue(piece)
        above, before = top % factor, left % factor
        below, after = -(above + part.shape[0]) % factor, -(before + part.shape[1]) % factor
        part = np.pad(part, ((above, below), (before, after)))
        cells = part.reshape(part.shape[0] // factor, factor, part.shape[1] // factor, factor)
        sums = cells.sum(axis=(1, 3), dtype=np.float32)
        row, column = top // factor, left // factor
        total[row : row + sums.shape[0], column : column + sums.shape[1]] += sums
    # The last cells may reach beyond the page.
    tall, wide = (np.diff(np.r_[0:length:factor, length]) for length in (height, width))
    total /= np.outer(tall, wide)
    return MaskImage(total, width / factor, height / factor)


def _is_averaged(page: tifffile.TiffPage, first: tifffile.TiffPage, samples: _Samples) -> bool:
    """Return whether a smaller level has values that the first does not have at the same place.

    Averaging makes them, beside edges; taking the nearest pixel does not. Labels, such as 1, 2 and
    3, are then told from shades of an edge.
    """
    if samples.background:
        return False
    found: dict[Any, tuple[int, int]] = {}
    for top, left, piece in _pieces(page):
        values = samples.values(piece)
        for value in np.unique(values[values > 0])[: 2 * _VALUES_CHECKED].tolist():
            if value not in found and len(found) < 4 * _VALUES_CHECKED:
                y, x = np.argwhere(values == value)[0].tolist()
                found[value] = top + y, left + x
    # The largest value is that of the inside.
    between = sorted(found)[:-1]
    step = max(1, len(between) // _VALUES_CHECKED)
    return any(not _occurs(value, found[value], page, first, samples) for value in between[::step])


def _occurs(
    value: Any,
    place: tuple[int, int],
    page: tifffile.TiffPage,
    first: tifffile.TiffPage,
    samples: _Samples,
) -> bool:
    """Return whether the first level has a value at a pixel of a smaller one, or just beside it."""
    scale = first.imagelength / page.imagelength, first.imagewidth / page.imagewidth
    (top, bottom), (left, right) = (
        (int((at - 1) * by), int((at + 2) * by)) for at, by in zip(place, scale, strict=True)
    )
    for y, x, piece in _pieces_at(first, max(top, 0), max(left, 0), bottom, right):
        part = piece[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
        if (samples.values(part) == value).any():
            return True
    return False


def _pieces_at(
    page: tifffile.TiffPage, top: int, left: int, bottom: int, right: int
) -> Iterator[tuple[int, int, _Values]]:
    """Yield the pieces of a page that a rectangle touches, as `_pieces`."""
    whole = page.is_memmappable or (page.planarconfig != _CONTIGUOUS and page.samplesperpixel > 1)
    if whole:
        yield from _pieces(page)
        return
    tall, wide = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    across = -(-page.imagewidth // wide)
    for row in range(top // tall, -(-min(bottom, page.imagelength) // tall)):
        for column in range(left // wide, -(-min(right, page.imagewidth) // wide)):
            index = row * across + column
            data = _segment(page, index)
            if not data:
                continue
            piece, _, _ = page.decode(data, index)
            if piece is not None:
                height, width = page.imagelength - row * tall, page.imagewidth - column * wide
                yield row * tall, column * wide, piece[0, :height, :width]


def _most(values: _Values) -> int:
    return int(values.max()) if values.size else 0


def _bad(path: Path, reason: str) -> InputError:
    return InputError(Kind.BAD_MASK, f"{path} {reason}")
