"""The levels of a DICOM slide, as OpenSlide finds them, and where their frames are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problems import one_line
from beamscope.transforms.slides.dicom_series import files_of_series, source_of
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.native.dicom_frames import FrameDecoder, find_frames
from beamscope.transforms.slides.readers.native.dicom_instance import (
    LEVEL,
    Instance,
    read_instance,
)
from beamscope.transforms.slides.readers.native.jp2k import Jpeg2000Decoder
from beamscope.transforms.slides.readers.native.jpeg import TileDecoder, jpeg_prefix
from beamscope.transforms.slides.readers.native.properties import UnservedError, as_text
from beamscope.transforms.slides.readers.native.tiff import MAX_TILE_PX, Decoder, TileLevel
from beamscope.transforms.slides.readers.tiff_bounds import MAX_TILES, check_total
from beamscope.transforms.storage.byte_source import ByteSource
from beamscope.transforms.storage.joined_source import JoinedSource

# Transfer syntaxes (PS3.5, 8.2 and 10), and the photometric interpretations that OpenSlide takes of
# each. JPEG 2000 undoes YBR_ICT and YBR_RCT by itself.
_JPEG = "1.2.840.10008.1.2.4.50"
_PHOTOMETRIC = {
    _JPEG: ("RGB", "YBR_FULL_422"),
    "1.2.840.10008.1.2.4.90": ("RGB", "YBR_RCT"),
    "1.2.840.10008.1.2.4.91": ("RGB", "YBR_ICT", "YBR_RCT"),
}
_UM_PER_MM = 1000.0

# What a reader is made of: the files, the properties by OpenSlide's names, and the levels.
Stored = tuple[ByteSource, dict[str, str], list[TileLevel]]


def read_series(uri: str, source: ByteSource) -> Stored | NotServed:
    """Read the headers of a DICOM slide.

    Args:
      uri: of any one file of it.
      source: of that file; closed with what is returned, or here.

    Returns:
      its files as one, of which the levels give the offsets; the properties; and the levels. Or why
      this is not a slide that is read by its frames.

    Raises:
      InputError: the bytes cannot be had; or ``impossible_header``, see `check_total`.
    """
    opened = [source]
    try:
        levels = []
        for file in files_of_series(uri):
            if file.path != uri:
                opened.append(source_of(file))
            own = source if file.path == uri else opened[-1]
            instance = read_instance(own)
            if instance is not None and instance.flavour == LEVEL:
                levels.append((instance, own))
        return _joined(levels, source)
    except UnservedError as error:
        return NotServed(f"DICOM: {error}")
    except OSError as error:
        return NotServed(f"DICOM: its folder cannot be listed: {one_line(error)}")
    finally:
        used = {id(own) for _, own in levels}
        for one in opened:
            if id(one) not in used:
                one.close()


def _joined(found: list[tuple[Instance, ByteSource]], asked: ByteSource) -> Stored:
    unique = {instance.text("SOPInstanceUID"): (instance, own) for instance, own in found}
    pairs = sorted(unique.values(), key=lambda pair: -pair[0].number("TotalPixelMatrixColumns"))
    if not pairs:
        raise UnservedError("a series without an image of the slide (VOLUME)")
    sizes = [_size(instance) for instance, _ in pairs]
    if len(set(sizes)) < len(sizes):
        raise UnservedError("two images of one size")
    source = JoinedSource([own for _, own in pairs], asked.generation)
    levels = [
        _level(number, instance, own, start, sizes[0])
        for number, ((instance, own), start) in enumerate(zip(pairs, source.starts, strict=True))
    ]
    return source, _properties(pairs[0][0]), levels


def _size(instance: Instance) -> tuple[int, int]:
    width, height = (instance.number(f"TotalPixelMatrix{side}") for side in ("Columns", "Rows"))
    if width < 1 or height < 1:
        raise UnservedError(f"an image of {width} x {height} px")
    return width, height


def _level(
    number: int, instance: Instance, source: ByteSource, start: int, full: tuple[int, int]
) -> TileLevel:
    """Return a level.

    Args:
      number: of it.
      instance: its header.
      source: its file.
      start: of the file among those of the slide.
      full: width and height of level 0.
    """
    width, height = _size(instance)
    tile_width, tile_height = instance.number("Columns"), instance.number("Rows")
    if not (0 < tile_width <= MAX_TILE_PX and 0 < tile_height <= MAX_TILE_PX):
        raise UnservedError(f"frames of {tile_width} x {tile_height} px")
    shape = -(-height // tile_height), -(-width // tile_width)
    if shape[0] * shape[1] > MAX_TILES:
        raise UnservedError(f"an image of {shape[1]} x {shape[0]} frames")
    offsets, lengths = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    decoder: Decoder = TileDecoder(b"", tile_width, tile_height)
    reason = None
    try:
        decoder = _decoder(instance, tile_width, tile_height)
        rows, columns = _places(instance, shape, tile_width, tile_height)
        extended = instance.header.get("ExtendedOffsetTable")
        found, sizes = find_frames(source, instance.pixel_data_at, len(rows), extended)
        if (found + sizes > source.size).any():
            raise UnservedError("frames lie beyond the end of the file")
        offsets[rows, columns], lengths[rows, columns] = start + found, sizes
    except UnservedError as error:
        reason = str(error)
    check_total(f"level {number}", lengths, source.size)
    downsample = (full[0] / width + full[1] / height) / 2
    return TileLevel(
        number, width, height, downsample, tile_width, tile_height, offsets, lengths, decoder,
        reason,
    )  # fmt: skip


def _decoder(instance: Instance, width: int, height: int) -> FrameDecoder:
    instance.check()
    photometric = instance.text("PhotometricInterpretation")
    known = _PHOTOMETRIC.get(instance.syntax)
    if known is None:
        raise UnservedError(f"transfer syntax {instance.syntax}")
    if photometric not in known:
        raise UnservedError(f"photometric interpretation {photometric or 'unknown'}")
    if instance.syntax == _JPEG:
        # The header decides, whatever the JPEG says of itself.
        prefix = jpeg_prefix(None, ycbcr=photometric != "RGB")
        return FrameDecoder(TileDecoder(prefix, width, height))
    return FrameDecoder(Jpeg2000Decoder(width, height, ycbcr=False))


def _places(
    instance: Instance, shape: tuple[int, int], tile_width: int, tile_height: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the row and the column of each frame in the grid of frames."""
    down, across = shape
    count = instance.number("NumberOfFrames") if "NumberOfFrames" in instance.header else 1
    if not 0 < count <= down * across:
        raise UnservedError(f"{count} frames for {across} x {down} places")
    if instance.positions is None:
        rows, columns = np.divmod(np.arange(count, dtype=np.int64), across)
        return rows, columns
    if len(instance.positions) != count:
        raise UnservedError(f"{count} frames, but {len(instance.positions)} positions")
    columns, column_rest = np.divmod(instance.positions[:, 0], tile_width)
    rows, row_rest = np.divmod(instance.positions[:, 1], tile_height)
    if column_rest.any() or row_rest.any():
        raise UnservedError("frames that overlap, or lie off their grid")
    inside = (columns >= 0) & (columns < across) & (rows >= 0) & (rows < down)
    if not inside.all() or len(np.unique(rows * across + columns)) < count:
        raise UnservedError("frames outside the image, or two at one place")
    return rows, columns


def _properties(instance: Instance) -> dict[str, str]:
    """Return the vendor, the resolution and the objective power, by OpenSlide's names."""
    found = {"openslide.vendor": "dicom"}
    try:
        (groups, *_) = instance.header.get("SharedFunctionalGroupsSequence") or [None]
        (measures, *_) = (groups and groups.get("PixelMeasuresSequence")) or [None]
        spacing = measures and measures.get("PixelSpacing")
        if spacing:
            y, x = (float(value) * _UM_PER_MM for value in spacing)
            found |= {"openslide.mpp-x": as_text(x), "openslide.mpp-y": as_text(y)}
        (path, *_) = instance.header.get("OpticalPathSequence") or [None]
        power = path and path.get("ObjectiveLensPower")
        if power:
            found["openslide.objective-power"] = as_text(float(power))
    except (TypeError, ValueError) as error:
        raise UnservedError("a damaged pixel spacing or objective power") from error
    return found
