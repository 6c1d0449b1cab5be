"""Lossy JPEG of the kinds that one decoder lacks, against Pillow's reading and by damage."""

import io

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from beamscope.transforms import jpeg_markers
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from tests.shared_data import shared

SETTINGS = DecodeSettings()
RARE = [
    *("31,11,11", "32,11,11", "42,11,11", "24,11,11"),
    *("22,11,22", "11,22,11", "31,11,31", "41,21,11"),
]


class Bits:
    """Writes bits, with the zeros that keep 0xFF from being a marker."""

    def __init__(self):
        self.text = ""

    def put(self, value, length):
        self.text += f"{value:0{length}b}" if length else ""

    def flush(self):
        text, self.text = self.text, ""
        text += "1" * (-len(text) % 8)
        data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        return data.replace(b"\xff", b"\xff\0")


def segment(marker, body):
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def flat_blocks(samplings, units=(5, 4), restart=0):
    """A JPEG of any sampling whose 8 x 8 blocks are flat: sizes of differences, and their bits.

    The codes of the DC table have 4 bits each, in the order of the sizes 0 to 11; that of the AC
    table has the end of block alone.
    """
    rng = np.random.default_rng(1)
    wide = max(int(s[0]) for s in samplings)
    tall = max(int(s[1]) for s in samplings)
    head = [
        b"\xff\xd8",
        segment(0xDB, b"\0" + bytes([8] * 64)),
        segment(
            0xC0,
            bytes([8])
            + (units[1] * tall * 8 - 3).to_bytes(2)
            + (units[0] * wide * 8 - 5).to_bytes(2)
            + bytes([3])
            + b"".join(bytes([i + 1, int(s, 16), 0]) for i, s in enumerate(samplings)),
        ),
        segment(0xC4, b"\0" + bytes([0, 0, 0, 12, *[0] * 12]) + bytes(range(12))),
        segment(0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\0"),
        segment(0xDD, restart.to_bytes(2)),
        segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
    ]
    bits, coded, last = Bits(), b"", [0, 0, 0]
    for unit in range(units[0] * units[1]):
        if restart and unit and unit % restart == 0:
            coded += bits.flush() + bytes([0xFF, 0xD0 + (unit // restart - 1) % 8])
            last = [0, 0, 0]
        for component, sampling in enumerate(samplings):
            for _ in range(int(sampling[0]) * int(sampling[1])):
                level = int(rng.integers(-100, 100))
                difference, last[component] = level - last[component], level
                size = abs(difference).bit_length()
                bits.put(size, 4)
                bits.put(difference if difference >= 0 else difference + 2**size - 1, size)
                bits.put(0, 1)
    return b"".join(head) + coded + bits.flush() + b"\xff\xd9"


def by_pillow(data):
    """The luminance, which Pillow has libjpeg leave as it is coded."""
    image = Image.open(io.BytesIO(data))
    image.draft("L", image.size)
    assert image.mode == "L"
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("restart", [0, 3])
@pytest.mark.parametrize("samplings", [*RARE, "11,11,11", "22,11,11"])
def test_any_chroma_sampling(samplings, restart):
    data = flat_blocks(samplings.split(","), restart=restart)
    pixels = decode_film(data, SETTINGS).pixels
    assert np.abs(pixels - by_pillow(data)).max() <= 2
    assert pixels.std() > 20


def damaged(data):
    """Damage that libjpeg would mend with no more than a warning."""
    start = data.index(b"\xff\xda") + 14
    restart = data.index(b"\xff\xd1")
    yield "bytes lost", data[: start + 20] + data[start + 24 :]
    yield "cut, with an end", data[: start + 60] + b"\xff\xd9"
    yield "a stray marker", data[: start + 9] + b"\xff\x05" + data[start + 11 :]
    yield "a restart lost", data[:restart] + data[restart + 2 :]
    yield "a restart twice", data[:restart] + data[restart : restart + 2] + data[restart:]
    yield "restarts out of order", data[:restart] + b"\xff\xd5" + data[restart + 2 :]
    yield "bytes too many", data[:-2] + bytes(range(40)) + b"\xff\xd9"
    yield "no table", data.replace(b"\xff\xc4\0\x14\x10", b"\xff\xc4\0\x14\x11")
    yield "a code of no table", data[:start] + b"\xf7" + data[start + 1 :]


DAMAGE = [name for name, _ in damaged(flat_blocks(["31", "11", "11"], restart=3))]


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("samplings", ["31,11,11", "22,11,11"])
def test_damage_that_a_decoder_would_mend_errors(name, samplings):
    data = dict(damaged(flat_blocks(samplings.split(","), restart=3)))[name]
    with pytest.raises(InputError) as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == "corrupt_image"


def test_a_jpeg_that_is_cut_anywhere_is_truncated_errors():
    data = flat_blocks(["31", "11", "11"])
    for length in range(4, len(data), 7):
        with pytest.raises(InputError) as caught:
            decode_film(data[:length], SETTINGS)
        assert caught.value.kind == "truncated_image"


def test_a_real_film_of_a_rare_sampling_that_was_damaged_errors():
    data = shared("cases/xrays/jpeg_sampling_3x1/film.jpg").read_bytes()
    place = len(data) // 2
    for change in (
        data[:place] + bytes(40) + data[place + 40 :],
        data[:place] + data[place + 99 :],
    ):
        with pytest.raises(InputError) as caught:
            decode_film(change, SETTINGS)
        assert caught.value.kind == "corrupt_image"


def grey():
    y, x = np.mgrid[:60, :80]
    return ((x * 2 + y) % 256).astype(np.uint8)


@pytest.mark.parametrize("pad", [b"\0" * 3, b"\xff" * 2, b"\0"])
def test_padding_between_the_scan_and_the_end_is_no_damage(pad):
    data = simplejpeg.encode_jpeg(grey()[:, :, None].copy(), 90, "GRAY", "Gray")
    film = decode_film(data[:-2] + pad + data[-2:], SETTINGS)
    np.testing.assert_array_equal(film.pixels, decode_film(data, SETTINGS).pixels)


def test_a_jpeg_of_12_bits_keeps_its_range():
    film = grey().astype(np.uint16) * 8
    pixels = decode_film(imagecodecs.jpeg8_encode(film, 98, bitspersample=12), SETTINGS).pixels
    assert np.abs(pixels - np.rint(film * (255 / 4095))).max() <= 1


def test_damage_in_a_jpeg_of_12_bits_errors():
    data = imagecodecs.jpeg8_encode(grey().astype(np.uint16) * 16, 98, bitspersample=12)
    half = len(data) // 2
    for change, kind in (
        (data[:half] + b"\xff\xd9", "corrupt_image"),
        (data[:half] + bytes(60) + data[half + 60 :], "corrupt_image"),
        (data[:half], "truncated_image"),
    ):
        with pytest.raises(InputError) as caught:
            decode_film(change, SETTINGS)
        assert caught.value.kind == kind


@pytest.mark.parametrize(
    "data",
    [
        bytes(imagecodecs.jpegls_encode(grey())),
        bytes(imagecodecs.ljpeg_encode(grey())),
        b"\xff\xd8" + segment(0xC0, bytes([8, 0, 8, 0, 8, 2, 1, 17, 0, 2, 17, 0])) + b"\xff\xd9",
    ],
    ids=["JPEG-LS", "lossless", "two components"],
)
def test_kinds_that_are_no_film_files_errors(data):
    with pytest.raises(InputError) as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == "unsupported_image"


def test_a_rare_sampling_of_too_many_pixels_is_not_decoded_errors():
    with pytest.raises(InputError) as caught:
        decode_film(flat_blocks(["31", "11", "11"]), DecodeSettings(limits=Limits(max_pixels=99)))
    assert caught.value.kind == "too_many_pixels"


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return segment(0xE1, b"Exif\0\0" + tags.tobytes()[6:])


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("where", [0xE0, 0xDB, 0xC0, 0xC4])
def test_exif_behind_any_segment_counts(orientation, where):
    data = simplejpeg.encode_jpeg(grey()[:, :, None].copy(), 95, "GRAY", "Gray")
    place = next(s.end for s in jpeg_markers.segments(data) if s.marker == where)
    data = data[:place] + exif(orientation) + data[place:]
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    pixels = decode_film(data, SETTINGS).pixels
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


def test_damage_anywhere_in_a_rare_kind_is_an_input_error_or_harmless():
    rng = np.random.default_rng(3)
    deep = bytes(imagecodecs.jpeg8_encode(grey().astype(np.uint16) * 16, 98, bitspersample=12))
    limits = DecodeSettings(limits=Limits(max_pixels=1 << 16))
    refused = 0
    for sound in (flat_blocks(["31", "11", "11"], restart=3), deep):
        for _ in range(400):
            raw = bytearray(sound)
            for place in rng.integers(0, len(raw), rng.integers(1, 5)):
                raw[place] = rng.integers(0, 256)
            try:
                assert decode_film(bytes(raw), limits).pixels.dtype == np.uint8
            except InputError:
                refused += 1
    assert refused > 100
