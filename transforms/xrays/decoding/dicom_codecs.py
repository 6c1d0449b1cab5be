"""Decoders of JPEG lossless, JPEG-LS and JPEG 2000 frames, as plugins that pydicom calls.

pydicom's own choice is GDCM, which ends the process on some damaged frames (an exception that
nothing catches in its C++). libjpeg-turbo, CharLS and OpenJPEG, called through imagecodecs, do not;
and they leave Python's other threads running, which pylibjpeg's OpenJPEG does not.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
import pydicom.pixels
from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

PLUGIN = "imagecodecs"
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_JPEG_2000 = (
    uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K
)  # fmt: skip
DECODER_DEPENDENCIES = dict.fromkeys(
    (uid.JPEGLossless, uid.JPEGLosslessSV1, *_JPEG_LS, *_JPEG_2000), ("numpy", "imagecodecs")
)
_END_OF_IMAGE = b"\xff\xd9"


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax is decoded here, as pydicom asks of a plugin."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame to little-endian samples, as pydicom asks of a plugin.

    Raises:
      InputError: ``corrupt_image`` for a frame without an end, which libjpeg would mend without a
        word and CharLS takes seconds over.
    """
    syntax = runner.transfer_syntax
    if syntax in _JPEG_2000:
        samples = imagecodecs.jpeg2k_decode(frame)
        # OpenJPEG undoes the codec's own transform of colours.
        if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
            runner.set_option("photometric_interpretation", "RGB")
    elif not frame.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise InputError(Kind.CORRUPT_IMAGE, "JPEG: premature end of its data")
    elif syntax in _JPEG_LS:
        samples = imagecodecs.jpegls_decode(frame)
    else:
        samples = imagecodecs.jpeg8_decode(frame)
    # The precision of a frame may be less than what the file sets aside for a sample.
    runner.set_option("planar_configuration", 0)
    return np.asarray(samples).astype(f"<u{runner.bits_allocated // 8}").tobytes()


for _syntax in DECODER_DEPENDENCIES:
    _decoder = pydicom.pixels.get_decoder(_syntax)
    if PLUGIN not in _decoder.available_plugins:
        _decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
