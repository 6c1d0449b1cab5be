"""The grey scale of a DICOM film, against the formulas of PS3.3 C.11.1 and C.11.2.

Where a header contradicts itself, the expected picture is that of dcmtk 3.6.7 (dcm2pnm with +Wi 1
or +Wl 1), whose choice is written beside each case.
"""

import numpy as np
import pydicom
import pytest
from pydicom import uid

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from tests.xrays.dicom_makers import make_dataset, make_dicom, ramp, to_bytes

FILM = ramp(bits=12)
VALUES = FILM.astype(float)


def scaled(values, low, high):
    return np.clip((values - float(low)) / (float(high) - low), 0, 1) * 255


def linear(values, centre, width):
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1) * 255


def with_text(**attributes):
    """A film with attributes of text that pydicom would not write by itself."""
    dataset = make_dataset(FILM, bits=12)
    with pydicom.config.disable_value_validation():
        for keyword, value in attributes.items():
            dataset.add_new(keyword, "LO", value)
        return to_bytes(dataset)


def check(data, expected, grey_scale, ignored=(), window="auto"):
    film = decode_film(data, DecodeSettings(window=window))
    assert np.abs(film.pixels - expected).max() <= 1
    assert (film.grey_scale, film.ignored) == (grey_scale, ignored)


@pytest.mark.parametrize(
    ("slope", "intercept", "values", "ignored"),
    [
        ("1", "0", VALUES, ()),
        ("-1", "4095", 4095 - VALUES, ()),
        ("-2.5", "0", -2.5 * VALUES, ()),
        ("0.5", "-100.25", 0.5 * VALUES - 100.25, ()),
        ("", "", VALUES, ()),
        ("2", "", 2 * VALUES, ()),
        ("", "-1024", VALUES - 1024, ()),
        # dcmtk: "invalid value for 'RescaleSlope' (0) ... ignoring modality transformation".
        ("0", "17", VALUES, ("rescale",)),
        ("half", "17", VALUES, ("rescale",)),
        ("1,5", "0", VALUES, ("rescale",)),
        ("1", "nan", VALUES, ("rescale",)),
        ("inf", "0", VALUES, ("rescale",)),
    ],
)
def test_rescale(slope, intercept, values, ignored):
    text = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    low, high = values.min(), values.max()
    check(with_text(**text), scaled(values, low, high), "minmax", ignored)
    centre, width = (low + high) / 2, (high - low) * 0.8
    window = {"WindowCenter": f"{centre:.4f}", "WindowWidth": f"{width:.4f}"}
    check(with_text(**text, **window), linear(values, centre, width), "window", ignored)


@pytest.mark.parametrize(
    ("centre", "width", "expected", "ignored"),
    [
        ("1500", "2000", linear(VALUES, 1500, 2000), ()),
        ("1500\\90", "2000\\7", linear(VALUES, 1500, 2000), ()),
        (" 1500 ", "2000 ", linear(VALUES, 1500, 2000), ()),
        ("1.5E3", "+2e3", linear(VALUES, 1500, 2000), ()),
        # dcmtk: "cannot select VOI window 1" for widths below 1; then no window.
        ("1500", "0", None, ("window",)),
        ("1500", "-2000", None, ("window",)),
        ("1500", "0.2", None, ("window",)),
        ("1500", "wide", None, ("window",)),
        ("mid", "2000", None, ("window",)),
        ("1500", "nan", None, ("window",)),
        ("1500", "", None, ("window",)),
        ("", "2000", None, ("window",)),
        ("", "", None, ()),
        # The first that can be used.
        ("9\\1500", "0\\2000", linear(VALUES, 1500, 2000), ("window",)),
        ("x\\1500\\7", "2\\2000\\8", linear(VALUES, 1500, 2000), ("window",)),
    ],
)
def test_windows(centre, width, expected, ignored):
    data = with_text(WindowCenter=centre, WindowWidth=width)
    used = "minmax" if expected is None else "window"
    picture = scaled(VALUES, 0, 4095) if expected is None else expected
    for window in ("auto", "dicom"):
        check(data, picture, used, ignored, window)
    check(data, scaled(VALUES, 0, 4095), "minmax", (), "minmax")


def test_a_window_of_width_1_is_a_threshold():
    data = with_text(WindowCenter="2000", WindowWidth="1")
    check(data, np.where(VALUES > 1999.5, 255, 0), "window")


def test_a_window_that_shows_next_to_nothing_is_said_to_be_ignored():
    data = with_text(WindowCenter="90000", WindowWidth="100")
    check(data, scaled(VALUES, 0, 4095), "minmax", ("window",))


@pytest.mark.parametrize(
    ("function", "expected", "ignored"),
    [
        (None, linear(VALUES, 1500, 900), ()),
        ("", linear(VALUES, 1500, 900), ()),
        (" ", linear(VALUES, 1500, 900), ()),
        ("LINEAR", linear(VALUES, 1500, 900), ()),
        ("linear ", linear(VALUES, 1500, 900), ()),
        ("LINEAR_EXACT", scaled(VALUES, 1050, 1950), ()),
        ("SIGMOID", 255 / (1 + np.exp(-4 * (VALUES - 1500) / 900)), ()),
        # dcmtk: "unknown value for 'VOILUTFunction' (FOO) ... ignoring".
        ("FOO", linear(VALUES, 1500, 900), ("voi_lut_function",)),
        ("Logistic!", linear(VALUES, 1500, 900), ("voi_lut_function",)),
    ],
)
def test_functions(function, expected, ignored):
    text = {"WindowCenter": "1500", "WindowWidth": "900"}
    if function is not None:
        text["VOILUTFunction"] = function
    check(with_text(**text), expected, "window", ignored)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_narrow_windows_of_the_other_functions(function):
    """They may be as narrow as they like, if wider than 0 (PS3.3, C.11.2.1.3)."""
    text = {"WindowCenter": "2000.25", "VOILUTFunction": function}
    check(with_text(WindowWidth="0.1", **text), np.where(VALUES > 2000, 255, 0), "window")
    check(with_text(WindowWidth="0", **text), scaled(VALUES, 0, 4095), "minmax", ("window",))


@pytest.mark.parametrize("step", [1e-3, 5.6e-6])
def test_a_window_below_1_is_exact_where_a_small_slope_asks_for_it(step):
    width, centre = 2000 * step, 1500 * step
    data = with_text(
        RescaleSlope=f"{step:.3g}", WindowCenter=f"{centre:.9g}", WindowWidth=f"{width:.9g}"
    )
    if width >= 1:
        check(data, linear(VALUES * step, centre, width), "window")
    else:
        check(data, scaled(VALUES, 500, 2500), "window")


def item(count, first, bits, data, vr="OW", first_vr="US"):
    """A look-up table as it is written, right or wrong."""
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", first_vr, [count, first, bits])
    table.add_new("LUTData", vr, data)
    return pydicom.Sequence([table])


SQUARED = np.arange(4096, dtype=np.int64) ** 2 // 256  # 16 bits
EIGHT = (SQUARED >> 8).astype(np.uint8)


def u2(entries):
    return np.asarray(entries).astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("sequence", "table", "white"),
    [
        (item(4096, 0, 16, u2(SQUARED)), SQUARED, 65535),
        (item(4096, 0, 16, SQUARED.tolist(), "US"), SQUARED, 65535),
        (item(4096, 0, 8, EIGHT.tobytes()), EIGHT, 255),
        (item(4096, 0, 8, EIGHT.tobytes(), "OB"), EIGHT, 255),
        (item(4096, 0, 8, u2(EIGHT)), EIGHT, 255),
        (item(4095, 0, 8, EIGHT[1:].tobytes() + b"\0"), np.append(EIGHT[1:], EIGHT[-1]), 255),
        # Entries of fewer or of more bits than the descriptor says.
        (item(4096, 0, 16, u2(SQUARED >> 2)), SQUARED >> 2, 16383),
        (item(4096, 0, 16, u2(SQUARED >> 6)), SQUARED >> 6, 1023),
        (item(4096, 0, 16, EIGHT.tobytes()), EIGHT, 255),
        (item(4096, 0, 12, u2(SQUARED)), SQUARED, 65535),
        # dcmtk: "unsuitable value for 'BitsPerTableEntry' (99) ... using 16".
        (item(4096, 0, 99, u2(SQUARED)), SQUARED, 65535),
        (item(4096, 0, 0, u2(SQUARED)), SQUARED, 65535),
        # dcmtk: "invalid value for 'NumberOfTableEntries' (4096) ... assuming 2000".
        (
            item(4096, 0, 16, u2(SQUARED[:2000] * 4)),
            np.append(SQUARED[:2000] * 4, np.full(2096, SQUARED[1999] * 4)),
            65535,
        ),
        (item(2000, 0, 16, u2(SQUARED)), SQUARED, 65535),
        # Zeros that fill a table up are no part of it.
        (
            item(2000, 0, 16, u2([*(SQUARED[:2000] * 4), *([0] * 2096)])),
            np.append(SQUARED[:2000] * 4, np.full(2096, SQUARED[1999] * 4)),
            65535,
        ),
        (item(4000, 96, 16, u2(SQUARED[96:])), np.maximum(SQUARED, SQUARED[96]), 65535),
    ],
    ids=range(16),
)
@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian], ids=lambda s: s.name[:8]
)
def test_voi_luts(sequence, table, white, syntax):
    data = make_dicom(FILM, syntax, 12, VOILUTSequence=sequence, WindowCenter=9, WindowWidth=9)
    check(data, scaled(np.asarray(table)[FILM], 0, white), "lut")


def test_a_voi_lut_of_65536_entries():
    entries = 65535 - np.arange(65536)
    film = ramp(bits=16)
    data = make_dicom(film, VOILUTSequence=item(0, 0, 16, u2(entries)))
    check(data, scaled(65535.0 - film, 0, 65535), "lut")


@pytest.mark.parametrize("packed", [False, True])
def test_a_voi_lut_in_big_endian(packed):
    data = EIGHT.reshape(-1, 2)[:, ::-1].tobytes() if packed else EIGHT.astype(">u2").tobytes()
    dataset = make_dataset(FILM, uid.ExplicitVRBigEndian, 12)
    dataset.VOILUTSequence = item(4096, 0, 8, data)
    check(to_bytes(dataset), EIGHT[FILM], "lut")


@pytest.mark.parametrize(
    ("first", "vr", "intercept"),
    [
        (-1024, "SS", -1024),
        (64512, "US", -1024),
        (40000, "US", 40000),
        (-25536, "SS", 40000),
        (0, "US", 0),
    ],
)
@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian], ids=lambda s: s.name[:8]
)
def test_the_sign_of_the_first_value(first, vr, intercept, syntax):
    sequence = item(4096, first, 16, u2(SQUARED), first_vr=vr)
    data = make_dicom(
        FILM, syntax, 12, VOILUTSequence=sequence, RescaleSlope=1, RescaleIntercept=intercept
    )
    check(data, scaled(SQUARED[FILM], 0, 65535), "lut")


@pytest.mark.parametrize("signed", [False, True])
def test_the_sign_of_the_first_value_of_a_modality_lut(signed):
    film = ramp(bits=12, signed=signed)
    first = 0x10000 - 2048 if signed else 0
    data = make_dicom(film, bits=12, ModalityLUTSequence=item(4096, first, 16, u2(SQUARED)))
    table = SQUARED[film.astype(int) + (2048 if signed else 0)]
    check(data, scaled(table, 0, 65535), "minmax")


def test_a_modality_lut_counts_before_slope_and_intercept():
    """dcmtk: "redundant values for 'RescaleSlope/Intercept' ... using modality LUT"."""
    data = make_dicom(
        FILM,
        bits=12,
        ModalityLUTSequence=item(4096, 0, 8, EIGHT.tobytes()),
        RescaleSlope=3,
        RescaleIntercept=1,
        WindowCenter=100,
        WindowWidth=150,
    )
    check(data, linear(EIGHT[FILM].astype(float), 100, 150), "window")


@pytest.mark.parametrize(
    "sequence",
    [
        pydicom.Sequence(),
        pydicom.Sequence([pydicom.Dataset()]),
        item(4096, 0, 16, b""),
        item(4096, 0, 16, u2([7] * 4096)),
        item(1, 0, 16, u2([7])),
    ],
    ids=["no item", "empty item", "no data", "one output", "one entry"],
)
def test_a_table_that_cannot_be_used_is_left_out(sequence):
    ignored = ("voi_lut",) if len(sequence) else ()
    data = make_dicom(FILM, bits=12, VOILUTSequence=sequence, WindowCenter=1500, WindowWidth=900)
    check(data, linear(VALUES, 1500, 900), "window", ignored)
    ignored = ("modality_lut",) if len(sequence) else ()
    data = make_dicom(FILM, bits=12, ModalityLUTSequence=sequence, RescaleSlope=-1)
    check(data, scaled(-VALUES, -4095, 0), "minmax", ignored)


def test_the_first_usable_of_several_tables():
    both = pydicom.Sequence([*item(4096, 0, 16, b""), *item(4096, 0, 16, u2(SQUARED))])
    check(make_dicom(FILM, bits=12, VOILUTSequence=both), scaled(SQUARED[FILM], 0, 65535), "lut")


@pytest.mark.parametrize(
    ("photometric", "shape", "inverse"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "", True),
        ("MONOCHROME1", "INVERSE", True),
        # dcmtk shows these two by the shape.
        ("MONOCHROME1", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "odd", False),
    ],
)
def test_one_inversion_at_most(photometric, shape, inverse):
    dataset = make_dataset(FILM, bits=12, PhotometricInterpretation=photometric)
    if shape is not None:
        dataset.PresentationLUTShape = shape
    plain = np.rint(scaled(VALUES, 0, 4095))
    check(to_bytes(dataset), 255 - plain if inverse else plain, "minmax")


def test_levels_wider_apart_than_a_table_of_them_would_be():
    film = (ramp(bits=12).astype(np.int64) * 5000).astype(np.int32)
    film[:, :3] = -300
    dataset = make_dataset(film, bits=32)
    dataset.add_new("PixelPaddingValue", "SS", -300)
    pixels = decode_film(to_bytes(dataset), DecodeSettings()).pixels
    assert not pixels[:, :3].any()
    expected = scaled(film[:, 3:], film[:, 3:].min(), film[:, 3:].max())
    assert np.abs(pixels[:, 3:] - expected).max() <= 1


@pytest.mark.parametrize("window", ["auto", "dicom", "minmax"])
@pytest.mark.parametrize("padding", [None, 7, 9])
def test_a_film_that_ends_as_one_grey_errors(window, padding):
    film = np.full((9, 9), 7, np.uint16)
    film[:3] = 9 if padding else 7
    data = make_dicom(film, bits=12, WindowCenter=1500, WindowWidth=900)
    if padding:
        data = make_dicom(film, bits=12, PixelPaddingValue=padding)
    with pytest.raises(InputError, match=r"same|one grey") as caught:
        decode_film(data, DecodeSettings(window=window))
    assert caught.value.kind == "blank_image"
