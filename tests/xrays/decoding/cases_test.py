"""The films of ../shared/cases, each against a reading that does not come from beamscope.

`SHOWN` computes each picture from the bytes: numpy by the formulas of PS3.3 C.11 and PS3.5 8.1.1,
Pillow for JPEG, JPEG 2000 and PNG. The means of the pictures are those of the cases' own notes, of
which dcmtk's pictures are within a level.
"""

import io
import re

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageOps

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from tests.shared_data import shared

SIZE = (256, 320)


def case(name, file="film.dcm"):
    return shared(f"cases/xrays/{name}/{file}").read_bytes()


def attributes(name):
    return pydicom.dcmread(io.BytesIO(case(name)))


def words(name, kind="<u2"):
    return np.frombuffer(attributes(name).PixelData, kind).reshape(SIZE)


def scaled(values, low, high):
    return np.rint(np.clip((values - float(low)) / (float(high) - low), 0, 1) * 255)


def stretched(values):
    return scaled(values, values.min(), values.max())


def linear(values, centre, width):
    """PS3.3 C.11.2.1.2.1."""
    return np.rint(np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1) * 255)


def table(name):
    item = attributes(name).VOILUTSequence[0]
    raw = item.get_item("LUTData").value
    return raw if isinstance(raw, bytes) else item.LUTData


def plain():
    """The film of most cases, uncompressed: its words end the file."""
    return np.frombuffer(case("no_group_length")[-2 * SIZE[0] * SIZE[1] :], "<u2").reshape(SIZE)


def by_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def padded():
    values = words("padding_value_us_signed", "<i2")
    film = values[values != -2000]
    return np.where(values == -2000, 0, scaled(values, film.min(), film.max()))


def fragments_joined():
    data = case("offset_table_lists_fragments")
    found = pydicom.encaps.generate_fragments(data[data.rindex(b"\xfe\xff\x00\xe0\x0c\0\0\0") :])
    return b"".join(list(found)[1:])


def undelimited():
    data = case("no_sequence_delimiter")
    return data[data.index(b"\xff\x4f\xff\x51") :]


SHOWN = {
    "highbit_left_aligned": lambda: linear(words("highbit_left_aligned") >> 4, 2048, 4096),
    "jp2_box_in_fragment": lambda: stretched(plain()),
    "jpeg_extended_12bit": lambda: stretched(plain()),
    "jpeg_sampling_3x1": lambda: np.asarray(
        Image.open(io.BytesIO(case("jpeg_sampling_3x1", "film.jpg"))).convert("L")
    ),
    "jpegls_pad_ff": lambda: stretched(plain()),
    "no_group_length": lambda: stretched(plain()),
    "no_sequence_delimiter": lambda: stretched(by_pillow(undelimited())),
    "offset_table_lists_fragments": lambda: stretched(by_pillow(fragments_joined())),
    "padding_value_us_signed": padded,
    "png_exif_after_pixels": lambda: np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(case("png_exif_after_pixels", "film.png"))))
    ),
    "rescale_slope_negative": lambda: linear(4095.0 - words("rescale_slope_negative"), 2400, 1500),
    "voi_lut_8bit_packed": lambda: np.frombuffer(table("voi_lut_8bit_packed"), np.uint8)[
        words("voi_lut_8bit_packed")
    ],
    # The first value that is mapped is -1024, and so is the intercept.
    "voi_lut_first_negative_implicit": lambda: scaled(
        np.frombuffer(table("voi_lut_first_negative_implicit"), "<u2")[
            words("voi_lut_first_negative_implicit")
        ],
        0,
        65535,
    ),
    "voi_lut_narrower_than_said": lambda: scaled(
        np.frombuffer(table("voi_lut_narrower_than_said"), "<u2")[
            words("voi_lut_narrower_than_said")
        ],
        0,
        2**14 - 1,
    ),
    "window_float_rescale": lambda: scaled(
        words("window_float_rescale") * 0.0002442 - 0.0002442,
        0.4565 - 0.9131 / 2,
        0.4565 + 0.9131 / 2,
    ),
    "window_width_zero": lambda: stretched(plain()),
}
# Quantisation of the lossy encodings, and libjpeg's own choice of an upsampling.
SLACK = {"jpeg_extended_12bit": 4, "offset_table_lists_fragments": 1, "jpeg_sampling_3x1": 1}
FILES = {"jpeg_sampling_3x1": "film.jpg", "png_exif_after_pixels": "film.png"}


@pytest.mark.parametrize("name", SHOWN)
def test_a_case_shows_what_an_independent_reading_shows(name):
    film = decode_film(case(name, FILES.get(name, "film.dcm")), DecodeSettings())
    difference = np.abs(film.pixels.astype(int) - SHOWN[name]())
    assert difference.max() <= SLACK.get(name, 1)
    assert difference.mean() <= 0.5


@pytest.mark.parametrize("name", SHOWN)
def test_a_case_has_the_mean_that_its_note_says(name):
    note = shared(f"cases/xrays/{name}/expected.txt").read_text()
    expected = float(re.search(r"mean of the film shown 0..1: ([\d.]+)", note)[1])
    film = decode_film(case(name, FILES.get(name, "film.dcm")), DecodeSettings())
    square = Preprocess(64, "resize", "never").apply(film.pixels, from_dicom=True)
    assert abs(square.mean() / 255 - expected) <= 0.001


@pytest.mark.parametrize(
    ("name", "grey_scale", "ignored"),
    [
        ("rescale_slope_negative", "window", ()),
        ("voi_lut_8bit_packed", "lut", ()),
        ("window_float_rescale", "window", ()),
        ("window_width_zero", "minmax", ("window",)),
        ("padding_value_us_signed", "minmax", ()),
    ],
)
def test_a_case_says_what_it_was_shown_by(name, grey_scale, ignored):
    film = decode_film(case(name), DecodeSettings())
    assert (film.grey_scale, film.ignored) == (grey_scale, ignored)


def test_a_cut_case_is_truncated_errors():
    with pytest.raises(InputError, match="cut off") as caught:
        decode_film(case("no_sequence_delimiter", "film_cut.dcm"), DecodeSettings())
    assert caught.value.kind == "truncated_image"
