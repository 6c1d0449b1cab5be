"""Pictures in a page: as data, so that the page needs no other file."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
_QUALITY = 80


def data_uri(rgb: Rgb) -> str:
    """Return uint8 RGB ``[h, w, 3]`` as a JPEG in a ``data:`` URI."""
    done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of {rgb.shape}")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def decode_jpeg(jpeg: bytes) -> Rgb:
    """Return the pixels of a JPEG that beamscope wrote, uint8 RGB ``[h, w, 3]``.

    Raises:
      ValueError: it is damaged.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("the JPEG is damaged")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def fit_into(rgb: Rgb, side: int) -> Rgb:
    """Return a picture shrunk so that its longer side is at most so many pixels."""
    height, width = rgb.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return rgb
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
