import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from beamscope.transforms.image_files.jpeg import read_frame
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.xrays.decoding import jpeg2000
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings, to_uint8
from tests.shared_data import shared

SETTINGS = DecodeSettings()


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(height=60, width=80):
    y, x = np.mgrid[:height, :width]
    return ((x * 2 + y) % 256).astype(np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_grey_jpeg_decodes_as_pillow_reads_it(progressive):
    data = encode(Image.fromarray(grey()), "JPEG", progressive=progressive)
    film = decode_film(data, SETTINGS)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    assert (film.origin, film.photometric) == ("jpeg", None)
    assert np.abs(film.pixels.astype(int) - expected).max() <= 1


def test_a_colour_jpeg_becomes_its_luminance():
    rgb = np.stack([grey(), grey() // 2, 255 - grey()], axis=2)
    data = encode(Image.fromarray(rgb), "JPEG", quality=100, subsampling=0)
    expected = np.asarray(Image.fromarray(rgb).convert("L")).astype(int)
    assert np.abs(decode_film(data, SETTINGS).pixels - expected).max() <= 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(grey()), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    pixels = decode_film(data, SETTINGS).pixels
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


def palette_image():
    image = Image.fromarray(grey() // 16).convert("P")
    image.putpalette([value for i in range(256) for value in (i, 255 - i, i // 2)])
    return image


def rgba_image():
    rgb = np.repeat(grey()[:, :, None], 3, axis=2)
    alpha = np.tile(np.where(np.arange(80) < 40, 255, 0).astype(np.uint8), (60, 1))
    return Image.fromarray(np.dstack([rgb, alpha]))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(grey()), grey()),
        (Image.fromarray(grey() > 99), (grey() > 99) * 255),
        (palette_image(), np.asarray(palette_image().convert("RGB").convert("L"))),
        (rgba_image(), np.where(np.arange(80) < 40, grey(), 0)),
        (rgba_image().convert("LA"), np.where(np.arange(80) < 40, grey(), 0)),
        (Image.fromarray(np.repeat(grey()[:, :, None], 3, axis=2)), grey()),
        (Image.fromarray(grey().astype(np.uint16) * 257), grey()),
    ],
    ids=["grey", "bilevel", "palette", "rgba", "la", "rgb", "16-bit"],
)
def test_png(image, expected):
    film = decode_film(encode(image, "PNG"), SETTINGS)
    assert film.origin == "png"
    # Pillow weighs colours in 16 bits of fixed point, and may round the other way.
    slack = 1 if image.mode == "P" else 0
    assert np.abs(film.pixels.astype(int) - expected).max() <= slack


def test_a_16_bit_png_keeps_its_range_unless_it_is_to_be_stretched():
    twelve_bits = Image.fromarray(grey().astype(np.uint16) * 16)
    data = encode(twelve_bits, "PNG")
    assert decode_film(data, SETTINGS).pixels.max() == round(int(grey().max()) * 16 / 257)
    stretched = decode_film(data, DecodeSettings(window="minmax")).pixels
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_the_name_does_not_matter_but_the_bytes_do():
    assert decode_film(encode(Image.fromarray(grey()), "PNG"), SETTINGS).origin == "png"


def damaged_jpegs():
    noise = np.random.default_rng(5).integers(0, 40, (200, 200), np.uint8)
    image = Image.fromarray(np.add.outer(np.arange(200), np.zeros(200)).astype(np.uint8) + noise)
    data = encode(image, "JPEG")
    half = len(data) // 2
    return {
        "truncated": data[:half],
        "without its end": data[:-2],
        "cut, with an end": data[:half] + b"\xff\xd9",
        "zeroed": data[:half] + bytes(500) + data[half + 500 :],
        "bytes lost": data[:half] + data[half + 50 :],
        "header only": data[:100],
    }


CUT = ("truncated", "without its end", "header only", "signature only")


@pytest.mark.parametrize("name", damaged_jpegs())
def test_a_jpeg_that_a_decoder_would_mend_errors(name):
    with pytest.raises(InputError) as caught:
        decode_film(damaged_jpegs()[name], SETTINGS)
    assert caught.value.kind == ("truncated_image" if name in CUT else "corrupt_image")


def png_with(data, chunk, change):
    """Change the body of a chunk, and leave its checksum as it was."""
    place = data.index(chunk)
    raw = bytearray(data)
    raw[place + 4 + change] ^= 0xFF
    return bytes(raw)


def damaged_pngs():
    data = encode(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)), "PNG"
    )
    place = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[place - 4 : place])
    raw = zlib.decompress(data[place + 4 : place + 4 + length])
    short = zlib.compress(raw[: len(raw) // 2])
    chunk = b"IDAT" + short
    short_png = (
        data[: place - 4]
        + struct.pack(">I", len(short))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[place + 8 + length :]
    )
    return {
        "truncated": data[: len(data) // 2],
        "flipped data": png_with(data, b"IDAT", 500),
        "flipped header": png_with(data, b"IHDR", 3),
        "too few rows": short_png,
        "signature only": data[:8],
    }


@pytest.mark.parametrize("name", damaged_pngs())
def test_a_damaged_png_errors(name):
    with pytest.raises(InputError) as caught:
        decode_film(damaged_pngs()[name], SETTINGS)
    assert caught.value.kind == ("truncated_image" if name in CUT else "corrupt_image")


def animated_png():
    frames = [Image.fromarray(grey()), Image.fromarray(255 - grey())]
    return encode(frames[0], "PNG", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", "not_a_film", "an empty file"),
        (b"<!DOCTYPE html><html></html>", "not_a_film", "a page of markup"),
        (b"\x89PNG\n\x1a\n", "not_a_film", "line ends"),
        (encode(Image.fromarray(grey()), "GIF"), "not_a_film", "another kind"),
        (encode(Image.new("CMYK", (9, 9)), "JPEG"), "unsupported_image", "CMYK"),
        (animated_png(), "multi_frame", "2 frames"),
    ],
)
def test_decode_film_errors(data, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_too_many_pixels_errors(kind):
    data = encode(Image.new("L", (300, 200)), kind)
    with pytest.raises(InputError, match="300x200") as caught:
        decode_film(data, DecodeSettings(limits=Limits(max_pixels=300 * 200 - 1)))
    assert caught.value.kind == "too_many_pixels"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MR_truncated.dcm", "truncated_image"),
        ("rtplan_truncated.dcm", "no_pixels"),
        ("no_meta.dcm", "not_a_film"),
        ("crlf_mangled.png", "not_a_film"),
    ],
)
def test_real_broken_files_errors(name, kind):
    with pytest.raises(InputError) as caught:
        decode_film(shared(f"data/xrays/broken/{name}").read_bytes(), SETTINGS)
    assert caught.value.kind == kind


def test_no_real_film_is_taken_for_damaged():
    films = list(shared("data/xrays/kermany").rglob("*.jpeg"))
    films += shared("data/xrays/originals").iterdir()
    for film in films:
        assert decode_film(film.read_bytes(), SETTINGS).pixels.std() > 10


@settings(deadline=None)
@given(st.data())
def test_damage_anywhere_is_an_input_error_or_harmless(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG"]))
    raw = bytearray(encode(Image.fromarray(grey()), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    limits = Limits(max_pixels=1 << 16)
    try:
        film = decode_film(bytes(raw), DecodeSettings(limits=limits))
    except InputError:
        return
    assert film.pixels.dtype == np.uint8
    assert film.pixels.ndim == 2


@pytest.mark.parametrize(
    ("values", "low", "high", "expected"),
    [
        ([0, 1, 2], 0, 2, [0, 128, 255]),
        ([-5, 0, 10, 20], 0, 10, [0, 0, 255, 255]),
        ([7, 7], 7, 7, [0, 0]),
    ],
)
def test_to_uint8(values, low, high, expected):
    assert to_uint8(np.array(values, np.float64), low, high).tolist() == expected


def test_sizes_are_read_from_headers():
    jpeg = encode(Image.new("L", (123, 45)), "JPEG", exif=Image.Exif(), comment=b"x" * 500)
    frame = read_frame(jpeg)
    assert (frame.width, frame.height, frame.precision) == (123, 45, 8)
    stream = encode(Image.new("L", (77, 33)), "JPEG2000", no_jp2=True)
    assert jpeg2000.read_size(stream) == jpeg2000.Size(77, 33, 1, 8, signed=False)


def test_a_jpeg_2000_of_a_thousand_components_errors():
    stream = bytearray(encode(Image.new("L", (77, 33)), "JPEG2000", no_jp2=True))
    stream[40:42] = (1000).to_bytes(2)
    with pytest.raises(InputError, match="1000 components"):
        jpeg2000.read_size(bytes(stream))


@pytest.mark.parametrize("read", [read_frame, jpeg2000.read_size])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda\x00\x02" + bytes(20)])
def test_sizes_are_read_from_headers_errors(read, data):
    with pytest.raises(InputError, match=r"header|size|JPEG data|cut off"):
        read(data)
