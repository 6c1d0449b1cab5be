"""Write DICOM slides by pydicom, a file a level, of every kind that the native reader supports."""

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import generate_uid

from tests.slides.readers.native.files import TiledSlide, cut, encode, jpeg_2000

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG, JP2K_LOSSLESS, JP2K = (f"1.2.840.10008.1.2.4.{last}" for last in ("50", "90", "91"))


@dataclasses.dataclass(frozen=True)
class DicomSlide:
    """How a slide is written.

    Attributes:
      syntax: transfer syntax of the frames.
      photometric: interpretation that the header says.
      sparse: whether each frame says where it belongs; they are then written in another order.
      table: of offsets: ``basic``, ``extended`` or ``none``.
      fragments: items a frame.
      missing: frames of level 0 that are left out of a sparse slide, by place.
      tile: side of the frames, px.
      spacing: rows and columns of level 0, mm.
      power: of the objective; None to leave it out.
      header: further attributes of each level.
    """

    syntax: str = JPEG
    photometric: str = "YBR_FULL_422"
    sparse: bool = False
    table: str = "basic"
    fragments: int = 1
    missing: tuple[int, ...] = ()
    tile: int = 128
    spacing: tuple[str, str] = ("0.00025", "0.00026")
    power: str | None = "40"
    header: tuple[tuple[str, object], ...] = ()


KINDS = {
    "JPEG": DicomSlide(),
    "JPEG of RGB": DicomSlide(photometric="RGB"),
    "JPEG, extended offsets": DicomSlide(table="extended"),
    "JPEG, no offsets": DicomSlide(table="none"),
    "JPEG, sparse": DicomSlide(sparse=True),
    "JPEG, sparse, without frames": DicomSlide(sparse=True, missing=(8, 9, 20)),
    "JPEG, two items a frame": DicomSlide(fragments=2),
    "JPEG 2000": DicomSlide(syntax=JP2K, photometric="YBR_ICT"),
    "JPEG 2000 of RGB": DicomSlide(syntax=JP2K, photometric="RGB"),
    "JPEG 2000, no offsets": DicomSlide(syntax=JP2K, photometric="YBR_ICT", table="none"),
    "JPEG 2000, lossless": DicomSlide(syntax=JP2K_LOSSLESS, photometric="YBR_RCT"),
    "JPEG 2000, sparse, extended offsets": DicomSlide(
        syntax=JP2K, photometric="YBR_ICT", sparse=True, table="extended"
    ),
    "JPEG 2000, sparse, no offsets": DicomSlide(
        syntax=JP2K, photometric="YBR_ICT", sparse=True, table="none", missing=(8,)
    ),
    "neither resolution nor objective": DicomSlide(spacing=("", ""), power=None),
}


def write_dicom(path: Path, images, slide: DicomSlide | None = None) -> list[Path]:
    """Writes a slide, level 0 at `path` and the others beside it; returns the paths of all."""
    slide = slide or DicomSlide()
    series = generate_uid()
    paths = [path, *(path.with_name(f"{path.stem}-{n}.dcm") for n in range(1, len(images)))]
    for number, (target, pixels) in enumerate(zip(paths, images, strict=True)):
        write_level(target, pixels, slide, series, len(images[0]) / len(pixels), number)
    return paths


def write_level(path, pixels, slide, series, downsample=1.0, number=0, flavour="VOLUME"):
    height, width = pixels.shape[:2]
    frames = [encoded(tile, slide) for tile in cut(pixels, slide.tile)]
    places = list(range(len(frames)))
    if slide.sparse:
        kept = [place for place in places if number or place not in slide.missing]
        places = np.random.default_rng(0).permutation(kept).tolist()
    data = header(slide, series, width, height, len(places), downsample)
    data.ImageType = ["ORIGINAL", "PRIMARY", flavour, "NONE"]
    if slide.sparse:
        across = -(-width // slide.tile)
        data.PerFrameFunctionalGroupsSequence = [
            per_frame(slide.tile * (place % across) + 1, slide.tile * (place // across) + 1)
            for place in places
        ]
    chosen = [frames[place] for place in places]
    if slide.table == "extended":
        data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = (
            encapsulate_extended(chosen)
        )
    else:
        data.PixelData = encapsulate(
            chosen, fragments_per_frame=slide.fragments, has_bot=slide.table == "basic"
        )
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    for keyword, value in slide.header:
        setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)


def header(slide, series, width, height, frames, downsample) -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = WHOLE_SLIDE
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.file_meta.TransferSyntaxUID = slide.syntax
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", series
    data.Modality = "SM"
    data.DimensionOrganizationType = "TILED_SPARSE" if slide.sparse else "TILED_FULL"
    data.SamplesPerPixel, data.PlanarConfiguration = 3, 0
    data.PhotometricInterpretation = slide.photometric
    data.NumberOfFrames, data.Rows, data.Columns = frames, slide.tile, slide.tile
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = width, height
    data.TotalPixelMatrixFocalPlanes, data.NumberOfOpticalPaths = 1, 1
    path, measures, groups = Dataset(), Dataset(), Dataset()
    path.OpticalPathIdentifier = "1"
    if slide.power is not None:
        path.ObjectiveLensPower = slide.power
    data.OpticalPathSequence = [path]
    if all(slide.spacing):
        measures.PixelSpacing = [f"{float(side) * downsample:.8g}" for side in slide.spacing]
    groups.PixelMeasuresSequence = [measures]
    data.SharedFunctionalGroupsSequence = [groups]
    return data


def per_frame(column: int, row: int) -> Dataset:
    place, item = Dataset(), Dataset()
    place.ColumnPositionInTotalImagePixelMatrix = column
    place.RowPositionInTotalImagePixelMatrix = row
    item.PlanePositionSlideSequence = [place]
    return item


def encoded(tile: np.ndarray, slide: DicomSlide) -> bytes:
    if slide.syntax == JPEG:
        return encode(tile, TiledSlide(subsampling=None if slide.photometric == "RGB" else (2, 1)))
    lossless = slide.syntax == JP2K_LOSSLESS
    rates = {} if lossless else {"quality_layers": [8]}
    mct = int(slide.photometric != "RGB")
    return jpeg_2000(tile, mct=mct, irreversible=not lossless, **rates)


def frame_place(path: Path, number: int) -> tuple[int, int]:
    """Offset and length of a frame's data in the file, in the order of the file."""
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    at += 8 + struct.unpack_from("<I", data, at + 4)[0]
    for _ in range(number):
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]
    return at + 8, struct.unpack_from("<I", data, at + 4)[0]


def damage(path: Path, number: int, at: int, new: bytes) -> None:
    """Overwrites bytes of a frame, from `at` on."""
    offset, _ = frame_place(path, number)
    with path.open("r+b") as file:
        file.seek(offset + at)
        file.write(new)


def edited(path: Path, change) -> None:
    """Changes the header of a file."""
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
