"""TIFF of many kinds against what was written, and against Pillow's reading."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from beamscope.transforms.image_files.tiff import decode_tiff
from beamscope.transforms.problems import InputError

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (37, 50), np.uint8)
RGB = RNG.integers(0, 256, (37, 50, 3), np.uint8)
SMOOTH = np.dstack([np.tile(np.arange(64, dtype=np.uint8) * k, (48, 1)) for k in (1, 2, 3)])


def no_limit(_width, _height):
    pass


def tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **({"metadata": None} | options))
    return file.getvalue()


def decode(data, check=no_limit):
    return decode_tiff(data, check, "image")


def pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (GREY, {}),
        (RGB, {"photometric": "rgb"}),
        (RGB, {"photometric": "rgb", "byteorder": ">"}),
        (RGB, {"photometric": "rgb", "bigtiff": True}),
        (RGB, {"photometric": "rgb", "compression": "lzw"}),
        (RGB, {"photometric": "rgb", "compression": "deflate", "predictor": True}),
        (RGB, {"photometric": "rgb", "tile": (16, 16)}),
        (RGB, {"photometric": "rgb", "rowsperstrip": 5}),
    ],
)
def test_the_pixels_are_those_that_were_written(values, options):
    data = tiff(values, **options)
    found, orientation = decode(data)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found, pillow(data))
    assert orientation == 1


def test_planes_that_are_stored_apart_are_channels():
    data = tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(decode(data)[0], RGB)


def test_16_bits_stay_16_bits():
    values = RNG.integers(0, 1 << 16, (20, 30, 3), np.uint16)
    np.testing.assert_array_equal(decode(tiff(values, photometric="rgb"))[0], values)


def test_white_as_zero_is_turned_round():
    data = tiff(GREY, photometric="miniswhite")
    np.testing.assert_array_equal(decode(data)[0], 255 - GREY)


def test_one_bit_becomes_black_and_white():
    bits = GREY > 127
    np.testing.assert_array_equal(decode(tiff(bits, photometric="minisblack"))[0], bits * 255)


def test_a_palette_becomes_colours():
    colours = RNG.integers(0, 256, (256, 3), np.uint16)
    image = Image.fromarray(GREY, "L").convert("P")
    image.putpalette(colours.astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "TIFF")
    found, _ = decode(file.getvalue())
    expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(found, expected)


def test_an_alpha_that_is_multiplied_in_is_taken_out():
    alpha = np.full(RGB.shape[:2], 128, np.uint8)
    multiplied = (RGB.astype(float) * (128 / 255)).round().astype(np.uint8)
    data = tiff(np.dstack([multiplied, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    found, _ = decode(data)
    assert found.shape == (*RGB.shape[:2], 4)
    assert np.abs(found[..., :3].astype(int) - RGB).max() <= 1
    data = tiff(np.dstack([RGB, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(decode(data)[0], np.dstack([RGB, alpha]))


def test_jpeg_in_tiff_is_as_pillow_decodes_it():
    file = io.BytesIO()
    Image.fromarray(SMOOTH).save(file, "TIFF", compression="jpeg", quality=90)
    found, _ = decode(file.getvalue())
    assert np.abs(found.astype(int) - pillow(file.getvalue())).mean() < 1


def test_orientation_is_told():
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "TIFF", tiffinfo={274: 6})
    found, orientation = decode(file.getvalue())
    np.testing.assert_array_equal(found, RGB)
    assert orientation == 6


def test_smaller_versions_are_no_pages():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb", metadata=None)
        writer.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(decode(file.getvalue())[0], RGB)


def two_pages():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb", metadata=None)
        writer.write(RGB, photometric="rgb", metadata=None)
    return file.getvalue()


def cmyk():
    file = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(file, "TIFF")
    return file.getvalue()


WHOLE = tiff(RGB, photometric="rgb", rowsperstrip=5)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (two_pages(), "multi_frame", "2 pages"),
        (cmyk(), "unsupported_image", "photometric interpretation SEPARATED"),
        (tiff(GREY.astype(np.float32)), "unsupported_image", "float32 samples"),
        (tiff(GREY.astype(np.int16)), "unsupported_image", "int16 samples"),
        (tiff(np.dstack([RGB, RGB]), photometric="rgb"), "unsupported_image", "6 samples a pixel"),
        (b"II*\0" + bytes(20), "corrupt_image", "TIFF: "),
        (b"II*\0", "corrupt_image", "TIFF: "),
        (tiff(RGB, photometric="rgb", compression="deflate")[:-400], "truncated_image", "cut off"),
    ],
)
def test_what_cannot_be_used_errors(data, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        decode(data)
    assert caught.value.kind == kind


def test_damage_in_compressed_data_errors():
    data = bytearray(tiff(RGB, photometric="rgb", compression="deflate"))
    place = data.find(b"\x78\x9c") if b"\x78\x9c" in data else len(data) // 2
    data[place + 20 : place + 60] = bytes(40)
    with pytest.raises(InputError) as caught:
        decode(bytes(data))
    assert caught.value.kind == "corrupt_image"


def test_missing_strips_are_not_filled_in_errors():
    data = bytearray(WHOLE)
    with tifffile.TiffFile(io.BytesIO(WHOLE)) as file:
        tag = file.pages[0].tags["StripByteCounts"]
        start = tag.valueoffset
        size = np.dtype(tag.dtype.name.lower().replace("short", "uint16").replace("long", "uint32"))
    data[start : start + size.itemsize] = bytes(size.itemsize)
    with pytest.raises(InputError, match="missing") as caught:
        decode(bytes(data))
    assert caught.value.kind == "corrupt_image"


def test_the_size_is_checked_before_pixels_are_decoded():
    def check(width, height):
        assert (width, height) == (50, 37)
        raise InputError("too_many_pixels", "no")

    with pytest.raises(InputError, match="no"):
        decode(WHOLE, check)
