"""EXIF anywhere in a PNG, against Pillow's reading, and files that end early."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from beamscope.transforms.image_files.png import ends_early
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from tests.shared_data import shared

SETTINGS = DecodeSettings()


def grey(kind=np.uint8):
    y, x = np.mgrid[:30, :40]
    return ((x * 3 + y * 5) % 256).astype(kind)


def png(values=None, **options):
    file = io.BytesIO()
    Image.fromarray(grey() if values is None else values).save(file, "PNG", **options)
    return file.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()[6:]


def chunk(name, body):
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def insert(data, added, before):
    place = data.rindex(before) - 4
    return data[:place] + added + data[place:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_exif_before_or_behind_the_pixels_turns_the_film(orientation, before):
    data = insert(png(), chunk(b"eXIf", exif(orientation)), before)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, np.asarray(expected))


def raw_profile(orientation):
    """EXIF as ImageMagick writes it into a text chunk."""
    body = b"Exif\0\0" + exif(orientation)
    return f"\nexif\n{len(body):8}\n{body.hex()}\n"


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_exif_as_text_turns_the_film(before):
    info = PngInfo()
    info.add_text("Raw profile type exif", raw_profile(6), zip=True)
    text = png(pnginfo=info)
    place = text.index(b"zTXt") - 4
    length = 12 + struct.unpack_from(">L", text, place)[0]
    data = insert(png(), text[place : place + length], before)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert expected.size == (30, 40)
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, np.asarray(expected))


def test_the_case_is_upside_down():
    data = shared("cases/xrays/png_exif_after_pixels/film.png").read_bytes()
    expected = np.asarray(Image.open(io.BytesIO(data)))[::-1, ::-1]
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, expected)


@pytest.mark.parametrize("values", [grey(np.uint16) * 257, grey() > 99], ids=["16 bits", "1 bit"])
def test_exif_behind_the_pixels_of_other_kinds(values):
    plain = png(values)
    data = insert(plain, chunk(b"eXIf", exif(6)), b"IEND")
    turned = decode_film(plain, SETTINGS).pixels[::-1].T
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, turned)


def test_two_exif_chunks_must_agree():
    data = insert(png(exif=exif(3)), chunk(b"eXIf", exif(3)), b"IEND")
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, grey()[::-1, ::-1])
    data = insert(png(exif=exif(3)), chunk(b"eXIf", exif(6)), b"IEND")
    with pytest.raises(InputError, match="two eXIf chunks") as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == "corrupt_image"


def test_a_png_that_is_cut_anywhere_is_truncated_errors():
    data = insert(png(), chunk(b"eXIf", exif(6)), b"IEND")
    for length in range(8, len(data), 5):
        assert ends_early(data[:length])
        with pytest.raises(InputError) as caught:
            decode_film(data[:length], SETTINGS)
        assert caught.value.kind == "truncated_image"


def test_a_critical_chunk_that_nobody_knows_errors():
    data = shared("cases/hostile/c.png").read_bytes()
    with pytest.raises(InputError) as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == "corrupt_image"


@pytest.mark.parametrize("window", ["auto", "minmax"])
def test_what_chose_black_and_white_of_a_png(window):
    settings = DecodeSettings(window=window)
    assert decode_film(png(), settings).grey_scale is None
    deep = decode_film(png(grey(np.uint16) * 200), settings)
    assert deep.grey_scale == ("minmax" if window == "minmax" else None)


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_png_of_one_grey_errors(value):
    with pytest.raises(InputError, match="one grey") as caught:
        decode_film(png(np.full((9, 9), value, np.uint8)), SETTINGS)
    assert caught.value.kind == "blank_image"
