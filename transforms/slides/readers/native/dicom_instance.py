"""What the header of one file of a DICOM slide says (PS3.3, A.32.8: VL Whole Slide Microscopy)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.dicom_series import NoDicomError, reading_dicom
from beamscope.transforms.slides.readers.native.properties import UnservedError
from beamscope.transforms.storage.byte_source import ByteSource, as_file

if TYPE_CHECKING:
    import pydicom

# Of the images of a series: those that are levels, by the third value of ImageType.
LEVEL = "VOLUME"

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_TAGS = (
    "ImageType", "SOPInstanceUID", "SeriesInstanceUID", "ConcatenationUID",
    "DimensionOrganizationType", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "TotalPixelMatrixColumns", "TotalPixelMatrixRows",
    "TotalPixelMatrixFocalPlanes", "NumberOfOpticalPaths", "OpticalPathSequence",
    "SharedFunctionalGroupsSequence", "ExtendedOffsetTable",
)  # fmt: skip
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
# What is read of, see `check`; an attribute that is absent is as it should be.
_AS_IT_MUST_BE = {
    "SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8,
    "HighBit": 7, "PixelRepresentation": 0, "TotalPixelMatrixFocalPlanes": 1,
    "NumberOfOpticalPaths": 1,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """The header of a file.

    Attributes:
      header: the attributes that are read.
      syntax: UID of the transfer syntax.
      flavour: third value of ImageType, such as `LEVEL`.
      pixel_data_at: where the element of the pixel data begins in the file.
      positions: of a sparse image, int64 ``[frames, 2]``: column and row of each frame's first
        pixel in the image, from 0; None where frames fill the image by rows (``TILED_FULL``).
    """

    header: pydicom.Dataset
    syntax: str
    flavour: str
    pixel_data_at: int
    positions: npt.NDArray[np.int64] | None

    def number(self, keyword: str) -> int:
        """Return a whole number from the header.

        Raises:
          UnservedError: there is none.
        """
        try:
            return int(self.header[keyword].value)
        except (KeyError, TypeError, ValueError) as error:
            raise UnservedError(f"no {keyword}") from error

    def text(self, keyword: str) -> str:
        """Return a value from the header as text; empty where there is none."""
        value = self.header.get(keyword)
        return "" if value is None else str(value)

    def check(self) -> None:
        """Check that it is one image of 8-bit RGB or YBR, on one plane and by one optical path.

        Raises:
          UnservedError: it is not.
        """
        if self.text("ConcatenationUID"):
            raise UnservedError("a concatenation of several files")
        for keyword, right in _AS_IT_MUST_BE.items():
            value = self.header.get(keyword)
            if value is not None and value != right:
                raise UnservedError(f"{keyword} {value}")


def read_instance(source: ByteSource) -> Instance | None:
    """Read the header of a file; return None where it is no file of a whole-slide image.

    Raises:
      UnservedError: the header is damaged, or says not where its frames belong.
      InputError: the bytes cannot be had.
    """
    file = as_file(source)
    try:
        with reading_dicom():
            return _read(file)
    except NoDicomError as error:
        raise UnservedError(str(error)) from error


def _read(file: BinaryIO) -> Instance | None:
    import pydicom

    header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
    at = file.tell()
    if header.file_meta.MediaStorageSOPClassUID != _WHOLE_SLIDE:
        return None
    kinds = list(header.ImageType)
    flavour = str(kinds[2]) if len(kinds) > 2 else ""
    positions = None
    if flavour == LEVEL and header.get("DimensionOrganizationType") != "TILED_FULL":
        file.seek(0)
        sparse = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[_PER_FRAME])
        positions = _positions(sparse)
    syntax = str(header.file_meta.TransferSyntaxUID)
    return Instance(header, syntax, flavour, at, positions)


def _positions(header: pydicom.Dataset) -> npt.NDArray[np.int64]:
    frames = header.get(_PER_FRAME)
    if not frames:
        raise UnservedError("it does not say where its frames belong")
    found = []
    for frame in frames:
        (place,) = frame.PlanePositionSlideSequence
        found.append(
            (
                place.ColumnPositionInTotalImagePixelMatrix - 1,
                place.RowPositionInTotalImagePixelMatrix - 1,
            )
        )
    return np.array(found, np.int64)
