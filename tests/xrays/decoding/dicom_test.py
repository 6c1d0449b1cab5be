import functools
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.encaps import get_frame

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.dicom import check_keep_tags
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from tests.shared_data import shared
from tests.xrays.dicom_makers import LOSSLESS, lut, make_dataset, make_dicom, ramp, to_bytes

SETTINGS = DecodeSettings()
MINMAX = DecodeSettings(window="minmax")
TXV = "txv_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"


def pixels_of(data, settings=SETTINGS):
    return decode_film(data, settings).pixels


@functools.cache
def real(name):
    return pixels_of(shared(f"data/xrays/dicom/{name}").read_bytes()).astype(int)


@functools.cache
def stored_film():
    return pydicom.dcmread(shared("data/xrays/dicom/RG1_J2KR.dcm")).pixel_array


def scaled(values, low, high):
    """What a grey scale from `low` to `high` shows, by the definition."""
    return np.rint(np.clip((values.astype(float) - low) / (float(high) - low), 0, 1) * 255)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name[:30])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_lossless_encoding_gives_the_same_film(syntax, bits):
    film = ramp(bits=bits)
    pixels = pixels_of(make_dicom(film, syntax, bits))
    np.testing.assert_array_equal(pixels, scaled(film, film.min(), film.max()))


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name[:30])
@pytest.mark.parametrize("bits", [12, 16])
def test_every_lossless_encoding_of_signed_values_gives_the_same_film(syntax, bits):
    film = ramp(bits=bits, signed=True)
    pixels = pixels_of(make_dicom(film, syntax, bits, RescaleSlope=1, RescaleIntercept=-1024))
    np.testing.assert_array_equal(pixels, scaled(film, film.min(), film.max()))


def test_the_colours_of_jpeg_2000_are_undone_once():
    film = np.dstack([ramp(bits=8), ramp(bits=8)[::-1], 255 - ramp(bits=8)])
    frame = imagecodecs.jpeg2k_encode(film, codecformat="j2k", reversible=True, level=0)
    data = make_dicom(film, uid.JPEG2000Lossless, 8, frame, PhotometricInterpretation="YBR_RCT")
    np.testing.assert_array_equal(pixels_of(data), pixels_of(make_dicom(film)))


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("signed", [False, True])
def test_bits_stored(bits, signed):
    film = ramp(bits=bits, signed=signed).astype(np.int16 if signed else np.uint16)
    pixels = pixels_of(make_dicom(film, bits=bits))
    np.testing.assert_array_equal(pixels, scaled(film, film.min(), film.max()))


def test_what_lies_above_the_bits_stored_is_no_part_of_the_film():
    film = ramp(bits=12)
    overlay = film | 0x8000
    np.testing.assert_array_equal(
        pixels_of(make_dicom(overlay, bits=12)), pixels_of(make_dicom(film))
    )


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_lossless_by_every_predictor(predictor, bits):
    film = ramp(bits=bits)
    frame = imagecodecs.jpeg8_encode(film, lossless=True, predictor=predictor, bitspersample=bits)
    pixels = pixels_of(make_dicom(film, uid.JPEGLossless, bits, frame))
    np.testing.assert_array_equal(pixels, scaled(film, film.min(), film.max()))


def test_samples_of_less_precision_than_the_file_sets_aside():
    film = ramp(bits=8)
    frame = imagecodecs.jpegls_encode(film)
    data = make_dicom(film.astype(np.uint16), uid.JPEGLSLossless, 8, frame)
    np.testing.assert_array_equal(pixels_of(data), film)


def test_jpeg_baseline_is_near_the_film():
    film = ramp(bits=8)
    pixels = pixels_of(make_dicom(film, uid.JPEGBaseline8Bit)).astype(int)
    assert np.abs(pixels - film).max() <= 6


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
@pytest.mark.parametrize("window", ["auto", "dicom", "minmax"])
def test_a_film_is_inverted_once_and_only_once(photometric, shape, inverted, window):
    film = ramp(bits=12)
    attributes = {"PhotometricInterpretation": photometric}
    if shape:
        attributes["PresentationLUTShape"] = shape
    data = make_dicom(film, bits=12, WindowCenter=2048, WindowWidth=4096, **attributes)
    plain = pixels_of(make_dicom(film, bits=12, WindowCenter=2048, WindowWidth=4096))
    settings = DecodeSettings(window=window)
    expected = 255 - plain.astype(int) if inverted else plain
    assert np.abs(pixels_of(data, settings) - expected).max() <= 1


def linear_window(values, centre, width):
    """PS3.3 C.11.2.1.2.1, to the range 0 to 255."""
    shown = (values - (centre - 0.5)) / (width - 1) + 0.5
    return np.rint(np.clip(shown, 0, 1) * 255)


@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1000, 500), (3000, 2000)])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (1, 0), (2, -1000)])
def test_a_window_is_applied_after_the_modality_lut(centre, width, slope, intercept):
    film = ramp(bits=12)
    rescale = {} if slope is None else {"RescaleSlope": slope, "RescaleIntercept": intercept}
    data = make_dicom(film, bits=12, WindowCenter=centre, WindowWidth=width, **rescale)
    values = film.astype(float) * (slope or 1) + (intercept or 0)
    pixels = pixels_of(data, DecodeSettings(window="dicom")).astype(int)
    assert np.abs(pixels - linear_window(values, centre, width)).max() <= 1


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        ("LINEAR_EXACT", lambda x: np.clip((x - 1500) / 2000 + 0.5, 0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1500) / 2000))),
    ],
)
def test_voi_lut_functions(function, shown):
    film = ramp(bits=12)
    data = make_dicom(film, bits=12, WindowCenter=1500, WindowWidth=2000, VOILUTFunction=function)
    expected = shown(film.astype(float)) * 255
    assert np.abs(pixels_of(data) - expected).max() <= 1


def test_the_first_of_several_windows_counts():
    film = ramp(bits=12)
    two = make_dicom(film, bits=12, WindowCenter=[1500, 10], WindowWidth=[2000, 20])
    one = make_dicom(film, bits=12, WindowCenter=1500, WindowWidth=2000)
    np.testing.assert_array_equal(pixels_of(two), pixels_of(one))


def test_a_voi_lut_counts_before_a_window():
    film = ramp(bits=12)
    table = (np.arange(4096) ** 2 // 256).astype(int).tolist()
    data = make_dicom(film, bits=12, VOILUTSequence=lut(0, table), WindowCenter=10, WindowWidth=20)
    expected = scaled(np.array(table)[film], 0, 65535)
    np.testing.assert_array_equal(pixels_of(data), expected)


def test_a_modality_lut_is_applied():
    film = ramp(bits=12, signed=True)
    table = np.arange(4096)[::-1].tolist()
    data = make_dicom(film, bits=12, ModalityLUTSequence=lut(-2048, table))
    np.testing.assert_array_equal(pixels_of(data), scaled(-film, -2047, 2048))


@pytest.mark.parametrize("window", ["auto", "minmax"])
def test_a_window_that_shows_nothing_is_wrong_unless_it_is_asked_for(window):
    film = ramp(bits=12)
    data = make_dicom(film, bits=12, WindowCenter=50000, WindowWidth=100)
    pixels = pixels_of(data, DecodeSettings(window=window))
    np.testing.assert_array_equal(pixels, scaled(film, 0, 4095))
    with pytest.raises(InputError, match="window shows all of it in one grey") as caught:
        pixels_of(data, DecodeSettings(window="dicom"))
    assert caught.value.kind == "blank_image"


@pytest.mark.parametrize(
    ("attributes", "edge"),
    [
        ({"PixelPaddingValue": 0}, 0),
        ({"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}, 4050),
        ({"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1"}, 0),
    ],
)
def test_padding_is_black_and_takes_no_part_in_the_scale(attributes, edge):
    film = (ramp(bits=12) // 8 + 1000).astype(np.uint16)
    film[:, :7] = edge
    pixels = pixels_of(make_dicom(film, bits=12, **attributes))
    assert not pixels[:, :7].any()
    assert (pixels[:, 7:].min(), pixels[:, 7:].max()) == (0, 255)


@pytest.mark.parametrize("attributes", [{}, {"PixelPaddingValue": 700}, {"PixelPaddingValue": 5}])
def test_a_film_of_one_value_errors(attributes):
    film = np.full((8, 8), 700, np.uint16)
    film[0] = attributes.get("PixelPaddingValue", 700)
    with pytest.raises(InputError, match="all pixels are the same") as caught:
        pixels_of(make_dicom(film, bits=12, **attributes))
    assert caught.value.kind == "blank_image"


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGBaseline8Bit])
def test_colour_becomes_its_luminance(syntax):
    red, green, blue = (ramp(bits=8), ramp(bits=8)[::-1], 255 - ramp(bits=8))
    data = make_dicom(np.dstack([red, green, blue]), syntax)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    slack = 6 if syntax == uid.JPEGBaseline8Bit else 1
    assert np.abs(pixels_of(data) - expected).max() <= slack


def test_a_palette_becomes_its_luminance():
    film = ramp(bits=8)
    tables = {}
    for name in ("Red", "Green", "Blue"):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = (
            (np.arange(256) * 257).astype("<u2").tobytes()
        )
    data = make_dicom(film, PhotometricInterpretation="PALETTE COLOR", **tables)
    np.testing.assert_array_equal(pixels_of(data), film)


@pytest.mark.parametrize(
    ("one", "other", "levels"),
    [
        # JPEG-LS with an error of at most 4 in 30,000, and JPEG 2000 at 10:1 decompressed.
        ("RG1_J2KR.dcm", "RG1_JLSN.dcm", 1),
        ("RG1_J2KR.dcm", "RG1_UNCI.dcm", 4),
        # One test pattern, by a modality LUT and by a VOI LUT.
        ("mlut_18.dcm", "vlut_04.dcm", 1),
    ],
)
def test_real_films_in_two_encodings_agree(one, other, levels):
    assert np.abs(real(one) - real(other)).max() <= levels


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name[:30])
def test_a_real_film_is_the_same_in_every_lossless_encoding(syntax):
    crop = stored_film()[600:900, 500:900].copy()
    same = {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 15000, "WindowWidth": 30000}
    expected = real("RG1_J2KR.dcm")[600:900, 500:900]
    np.testing.assert_array_equal(pixels_of(make_dicom(crop, syntax, 15, **same)), expected)


def test_a_real_film_and_its_twin_tagged_monochrome1_are_exact_opposites():
    np.testing.assert_array_equal(real(TXV), 255 - real("txv_Fake_MONOHR1.dcm"))


def test_on_real_films_lungs_are_dark_and_the_spine_is_bright():
    for name, lung, spine in (
        ("RG1_UNCI.dcm", (slice(500, 800), slice(300, 600)), (slice(900, 1200), slice(850, 1000))),
        (TXV, (slice(350, 550), slice(200, 350)), (slice(500, 700), slice(500, 560))),
    ):
        film = real(name)
        assert film[lung].mean() + 30 < film[spine].mean()


def test_what_leaves_a_file():
    film = ramp(bits=12)
    attributes = {
        "ViewPosition": "PA",
        "Modality": "DX",
        "PatientID": "17",
        "StudyDate": "20200101",
    }
    data = make_dicom(film, bits=12, **attributes)
    plain = decode_film(data, SETTINGS)
    assert (plain.view_position, plain.modality, plain.photometric) == ("PA", "DX", "MONOCHROME2")
    assert plain.kept == {}
    asked = decode_film(data, DecodeSettings(keep_tags=("PatientID", "StudyInstanceUID")))
    assert asked.kept == {"PatientID": "17"}


def damaged_frames():
    film = np.random.default_rng(3).integers(0, 4096, (64, 64), np.uint16)
    eight = (film >> 4).astype(np.uint8)
    for syntax in (
        uid.RLELossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
        uid.JPEGBaseline8Bit,
    ):
        image = eight if syntax == uid.JPEGBaseline8Bit else film
        bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
        dataset = make_dataset(image, syntax, bits)
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        yield f"{syntax.name[:20]} cut", image, syntax, bits, frame[: len(frame) // 2]
        yield f"{syntax.name[:20]} empty", image, syntax, bits, b"\0\0"
        if syntax != uid.RLELossless:
            yield f"{syntax.name[:20]} other size", image[:32], syntax, bits, frame
    baseline = get_frame(make_dataset(eight, uid.JPEGBaseline8Bit).PixelData, 0, number_of_frames=1)
    half = len(baseline) // 2
    mended = baseline[:half] + b"\xff\xd9"
    yield "baseline that a decoder mends", eight, uid.JPEGBaseline8Bit, 8, mended
    rle = get_frame(make_dataset(film, uid.RLELossless, 12).PixelData, 0, number_of_frames=1)
    long_runs = rle[:100] + b"\x81\x00" * 200 + rle[500:]
    yield "RLE that a decoder mends", film, uid.RLELossless, 12, long_runs


@pytest.mark.parametrize("case", damaged_frames(), ids=lambda case: case[0])
def test_damaged_frames_errors(case):
    _, film, syntax, bits, frame = case
    with pytest.raises(InputError) as caught:
        pixels_of(make_dicom(film, syntax, bits, frame))
    cut = case[0].endswith(" cut")
    assert caught.value.kind == ("truncated_image" if cut else "corrupt_image")


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"PixelData": None}, "no_pixels"),
        ({"Rows": None}, "corrupt_dicom"),
        ({"Rows": 40000, "Columns": 40000}, "too_many_pixels"),
        ({"Rows": 4000}, "corrupt_image"),
        ({"BitsAllocated": None}, "corrupt_dicom"),
        ({"PhotometricInterpretation": None}, "no_pixels"),
        ({"PhotometricInterpretation": "HSV"}, "unsupported_dicom"),
    ],
)
def test_attributes_errors(attributes, kind):
    with pytest.raises(InputError) as caught:
        pixels_of(make_dicom(ramp(bits=12), bits=12, **attributes))
    assert caught.value.kind == kind


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.94", "1.2.3.4.5.6.7.8.9.0", "Zaphod"])
def test_transfer_syntaxes_errors(syntax):
    dataset = make_dataset(ramp(bits=12), bits=12, frame=b"film")
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    data = to_bytes(dataset)
    known = uid.JPEG2000Lossless.encode()
    with pytest.raises(InputError) as caught:
        pixels_of(data.replace(known, syntax.encode().ljust(len(known), b"\0"), 1))
    assert caught.value.kind == "unsupported_dicom"
    assert syntax not in caught.value.message


@pytest.mark.parametrize("bomb", [64 << 20, 8 << 20])
def test_a_deflated_file_is_held_to_the_limits_errors(bomb):
    data = make_dicom(ramp(bits=12), uid.DeflatedExplicitVRLittleEndian, 12)
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(bytes(bomb)) + packer.flush()
    with pytest.raises(InputError) as caught:
        pixels_of(data[:start] + packed, DecodeSettings(limits=Limits(32 << 20, 100)))
    assert caught.value.kind in ("compression_ratio", "member_too_big")


@pytest.mark.parametrize("keywords", [("PatientId",), ("patientid",), ("0010,0010",), ("",)])
def test_check_keep_tags_errors(keywords):
    with pytest.raises(InputError, match="keyword") as caught:
        check_keep_tags(keywords)
    assert caught.value.kind == "unknown_tag"
    check_keep_tags(("PatientID", "StudyInstanceUID"))


def test_a_jpeg_2000_frame_that_asks_for_more_room_errors():
    film = ramp(64, 64, 12)
    frame = imagecodecs.jpeg2k_encode(
        ramp(512, 512, 12), codecformat="j2k", reversible=True, level=0
    )
    with pytest.raises(InputError, match="512x512, and the film 64x64"):
        pixels_of(make_dicom(film, uid.JPEG2000Lossless, 12, frame))


SOUND = {
    syntax: make_dicom(ramp(bits=8), syntax, 8, WindowCenter=128, WindowWidth=200)
    for syntax in (*LOSSLESS, uid.JPEGBaseline8Bit)
}


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_anywhere_is_an_input_error_or_harmless(data):
    raw = bytearray(SOUND[data.draw(st.sampled_from(sorted(SOUND)))])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(132, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(len(raw) // 2, len(raw)))]
    limits = DecodeSettings(limits=Limits(max_pixels=1 << 20))
    try:
        film = decode_film(bytes(raw), limits)
    except InputError:
        return
    assert film.pixels.dtype == np.uint8
    assert film.pixels.ndim == 2
