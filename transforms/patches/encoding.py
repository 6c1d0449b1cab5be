"""Encode images as JPEG or PNG, and the columns that hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

from beamscope.transforms.fingerprints import in_embedding

EncodingName = Literal["jpeg", "png"]
ENCODINGS: tuple[EncodingName, ...] = ("jpeg", "png")

IMAGE = "image"
# What a job that writes images adds to its rows.
IMAGE_FIELDS = (
    pa.field(IMAGE, pa.binary(), nullable=False),
    pa.field("encoding", pa.string(), nullable=False),
    pa.field("passed_on", pa.bool_(), nullable=False),
)
_PNG_LEVEL = 6


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How images are encoded.

    Attributes:
      name: ``jpeg`` or ``png``, which loses nothing.
      quality: of JPEG, 1 to 100; chroma is not subsampled.
    """

    name: EncodingName = in_embedding(default="jpeg", name="encoding")
    quality: int = in_embedding(default=95)

    def encode(self, pixels: npt.NDArray[np.uint8]) -> bytes:
        """Encode uint8 RGB ``[height, width, 3]``; the same pixels give the same bytes."""
        pixels = np.ascontiguousarray(pixels)
        if self.name == "png":
            return bytes(imagecodecs.png_encode(pixels, level=_PNG_LEVEL))
        return bytes(simplejpeg.encode_jpeg(pixels, self.quality, "RGB", "444"))


def image_schema(rows: pa.Schema) -> pa.Schema:
    """Return a job's columns and those of the encoded image."""
    return pa.schema([*rows, *IMAGE_FIELDS])


def with_images(
    rows: pa.RecordBatch,
    pixels: npt.NDArray[np.uint8],
    encoding: Encoding,
    passed_on: Sequence[bytes | None] | None = None,
) -> pa.RecordBatch:
    """Return rows with their images.

    Args:
      rows: n rows.
      pixels: uint8 RGB ``[n, height, width, 3]``.
      encoding: of the images.
      passed_on: for each row a JPEG stream that is taken as it is, or None.
    """
    streams = list(passed_on or [None] * len(pixels))
    images = [
        stream if stream is not None else encoding.encode(one)
        for stream, one in zip(streams, pixels, strict=True)
    ]
    columns = [
        pa.array(images, pa.binary()),
        pa.array([encoding.name] * len(images), pa.string()),
        pa.array([stream is not None for stream in streams], pa.bool_()),
    ]
    return pa.RecordBatch.from_arrays([*rows.columns, *columns], schema=image_schema(rows.schema))
