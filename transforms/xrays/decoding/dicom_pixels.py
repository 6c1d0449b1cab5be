"""The stored pixels of a DICOM film, by a codec that refuses damage where one does.

Each transfer syntax has one decoder, the strictest that no damage crashes; pydicom's own choice
would try the next one, which may mend what the first refused. JPEG baseline is decoded once more by
libjpeg with its warnings as errors, because Pillow hides them. What no decoder reports is damage in
the middle of JPEG lossless, JPEG 2000 and uncompressed data.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.archives.members import Limits
from beamscope.transforms.xrays.decoding.dicom_codecs import PLUGIN
from beamscope.transforms.xrays.decoding.jpeg import decode_jpeg, jpeg2000_size, jpeg_size

_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
_DECODERS = {
    # pylibjpeg's RLE decoder is nine times as fast, and panics on damage.
    uid.RLELossless: "pydicom",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEGLossless: PLUGIN,
    uid.JPEGLosslessSV1: PLUGIN,
    uid.JPEGLSLossless: PLUGIN,
    uid.JPEGLSNearLossless: PLUGIN,
    uid.JPEG2000Lossless: PLUGIN,
    uid.JPEG2000: PLUGIN,
    uid.HTJ2KLossless: PLUGIN,
    uid.HTJ2KLosslessRPCL: PLUGIN,
    uid.HTJ2K: PLUGIN,
}
_DCT = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_JPEG2000 = (
    uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K
)  # fmt: skip
_JPEG = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless, *_DCT)
_PHOTOMETRICS = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"}
    | {"YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
)


def read_pixels(dataset: pydicom.Dataset, photometric: str, limits: Limits) -> npt.NDArray[Any]:
    """The stored values of a film of one frame: ``[rows, columns]``, or RGB in a third dimension.

    Raises:
      InputError: ``no_pixels``, ``multi_frame``, ``too_many_pixels``, ``unsupported_dicom`` and
        ``corrupt_image``, in words that quote no attribute but rows and columns.
    """
    if "PixelData" not in dataset:
        raise InputError(Kind.NO_PIXELS, "the DICOM file holds no pixels")
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(dataset.get("NumberOfFrames") or 1)
        syntax = uid.UID(dataset.file_meta.TransferSyntaxUID)
    except Exception as error:  # noqa: BLE001 - pydicom converts values late, and raises anything
        reason = f"rows, columns, frames or transfer syntax are missing ({type(error).__name__})"
        raise InputError(Kind.CORRUPT_DICOM, f"DICOM: {reason}") from None
    if frames != 1:
        raise InputError(Kind.MULTI_FRAME, f"the DICOM file holds {frames} frames, a film has one")
    limits.check_pixels(columns, rows)
    # A UID that is in no dictionary could be made of anything, and is not repeated.
    name = syntax.name if syntax in uid.UID_dictionary else "an unknown transfer syntax"
    if syntax not in _NATIVE and syntax not in _DECODERS:
        raise InputError(Kind.UNSUPPORTED_DICOM, f"DICOM: no decoder for {name}")
    if photometric not in _PHOTOMETRICS:
        raise InputError(Kind.UNSUPPORTED_DICOM, "its photometric interpretation is not a film's")
    try:
        if syntax in _NATIVE:
            _check_length(dataset, photometric, rows * columns)
        else:
            _check_frame(dataset, syntax, (columns, rows))
        return pixel_array(dataset, decoding_plugin=_DECODERS.get(syntax, ""))
    except InputError as error:
        raise InputError(error.kind, f"DICOM, {name}: {error.message}") from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything, and quote values
        reason = f"its pixels cannot be decoded ({type(error).__name__})"
        raise InputError(Kind.CORRUPT_IMAGE, f"DICOM, {name}: {reason}") from None


def _check_length(dataset: pydicom.Dataset, photometric: str, pixels: int) -> None:
    """Refuse pixels that were cut short, and say by how much."""
    if photometric == "YBR_FULL_422":
        return
    expected = pixels * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated) // 8
    if len(dataset.PixelData) < expected:
        raise InputError(
            Kind.CORRUPT_IMAGE, f"it holds {len(dataset.PixelData)} bytes of pixels, not {expected}"
        )


def _check_frame(dataset: pydicom.Dataset, syntax: uid.UID, size: tuple[int, int]) -> None:
    """Refuse a frame whose own header asks for more room, and a JPEG that libjpeg would mend."""
    if syntax not in _JPEG and syntax not in _JPEG2000:
        return
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    declared = jpeg2000_size(frame) if syntax in _JPEG2000 else jpeg_size(frame)
    if declared != size:
        raise InputError(
            Kind.CORRUPT_IMAGE,
            f"its frame is {declared[0]}x{declared[1]}, and the film {size[0]}x{size[1]}",
        )
    if syntax in _DCT:
        decode_jpeg(frame)
