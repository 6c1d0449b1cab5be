import io

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.slides.readers.native.jpeg import TileDecoder, TileError, jpeg_prefix
from beamscope.transforms.slides.sample.tiles import average, split_tables
from tests.slides.readers.native.files import TiledSlide, blobs, encode

SIDE = 128
PIXELS = blobs(SIDE, SIDE)
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


def decoded(jpeg: bytes, tables: bytes | None = None, ycbcr: bool = True, scale: int = 1):
    out = np.zeros((SIDE // scale, SIDE // scale, 3), np.uint8)
    TileDecoder(jpeg_prefix(tables, ycbcr=ycbcr), SIDE, SIDE).decode(jpeg, scale, out)
    return out


def by_pillow(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_the_same_as_pillow(subsampling):
    jpeg = encode(PIXELS, TiledSlide(subsampling=subsampling))
    assert np.array_equal(decoded(jpeg), by_pillow(jpeg))
    tables, image = split_tables(jpeg)
    assert np.array_equal(decoded(image, tables), by_pillow(jpeg))


def test_the_tiff_says_the_colour_space():
    jpeg = encode(PIXELS, TiledSlide(subsampling=None))
    assert np.abs(decoded(jpeg, ycbcr=False).astype(int) - PIXELS).mean() < 5
    assert np.abs(decoded(jpeg, ycbcr=True).astype(int) - PIXELS).mean() > 20
    # A JFIF header would make a decoder take it for YCbCr.
    jfif = jpeg[:2] + JFIF + jpeg[2:]
    assert np.array_equal(decoded(jfif, ycbcr=False), decoded(jpeg, ycbcr=False))


def test_progressive_and_fill_bytes():
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "jpeg", quality=85, progressive=True)
    jpeg = buffer.getvalue()
    assert np.array_equal(decoded(jpeg), by_pillow(jpeg))
    filled = jpeg[:2] + b"\xff\xff\xff" + jpeg[2:]
    assert np.array_equal(decoded(filled), by_pillow(jpeg))


def test_another_header_than_before():
    decoder = TileDecoder(jpeg_prefix(None, ycbcr=True), SIDE, SIDE)
    jpegs = [encode(PIXELS, TiledSlide(subsampling=s)) for s in ((1, 1), (2, 2), (2, 2), (1, 1))]
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    for jpeg in jpegs:
        decoder.decode(jpeg, 1, out)
        assert np.array_equal(out, by_pillow(jpeg))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_scales_like_averages(scale):
    jpeg = encode(PIXELS, TiledSlide())
    averaged = average(by_pillow(jpeg), scale)
    contrast = averaged.std()
    assert np.abs(decoded(jpeg, scale=scale).astype(int) - averaged).mean() < contrast / 10


JPEG = encode(PIXELS, TiledSlide())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JPEG"),
        (b"\x89PNG\r\n", "not JPEG"),
        (JPEG[:2], "broken"),
        (JPEG[:50], "broken"),
        (JPEG[:-400], "[Pp]remature"),
        (JPEG[:700] + b"\xff\xd9", "[Pp]remature"),
        (JPEG[:700] + bytes(300) + JPEG[1000:], "[Cc]orrupt"),
        (split_tables(JPEG)[0], "no image"),
        (encode(PIXELS[:64, :96].copy(), TiledSlide()), "96 x 64 px, not 128 x 128"),
        (split_tables(JPEG)[1], ""),
    ],
)
@pytest.mark.parametrize("scale", [1, 4])
def test_decoding_errors(data, message, scale):
    with pytest.raises(TileError, match=message or None):
        decoded(data, scale=scale)


def test_other_components_errors():
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[..., 0]).save(buffer, "jpeg")
    with pytest.raises(TileError, match="three 8-bit components"):
        decoded(buffer.getvalue())


def test_tables_errors():
    with pytest.raises(TileError, match="not JPEG"):
        jpeg_prefix(b"tables", ycbcr=True)
