"""DICOM files that lack what they should have around their data set, or end before they should."""

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import get_frame

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.dicom_file import is_dicom
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from tests.shared_data import shared
from tests.xrays.dicom_makers import LOSSLESS, make_dataset, make_dicom, ramp, to_bytes

SETTINGS = DecodeSettings()
FILM = ramp(bits=12)
EXPECTED = np.rint(FILM / 4095 * 255)


def named(syntax):
    return syntax.name[:30]


def meta_end(data):
    return 144 + int.from_bytes(data[140:144], "little")


def without_group_length(data):
    return data[:132] + data[144:]


def without_meta(data):
    return data[meta_end(data) :]


def without_preamble(data):
    return data[132:]


def without_both(data):
    return data[144:]


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
@pytest.mark.parametrize("change", [without_group_length, without_preamble, without_both])
def test_what_lies_around_a_data_set_may_be_missing(syntax, change):
    pixels = decode_film(change(make_dicom(FILM, syntax, 12)), SETTINGS).pixels
    np.testing.assert_array_equal(pixels, EXPECTED)


@pytest.mark.parametrize("syntax", [*LOSSLESS[:3], *LOSSLESS[4:]], ids=named)
def test_a_data_set_alone(syntax):
    """An encapsulated frame says itself what it is; of RLE only the transfer syntax tells."""
    data = without_meta(make_dicom(FILM, syntax, 12))
    assert is_dicom(data)
    if syntax == uid.RLELossless:
        with pytest.raises(InputError):
            decode_film(data, SETTINGS)
    else:
        np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, EXPECTED)


@pytest.mark.parametrize("wrong", [0, 4, 5000, 0xFFFFFFF0])
@pytest.mark.parametrize("syntax", [LOSSLESS[1], LOSSLESS[3], LOSSLESS[7]], ids=named)
def test_a_wrong_group_length_is_of_no_importance(wrong, syntax):
    data = make_dicom(FILM, syntax, 12)
    data = data[:140] + wrong.to_bytes(4, "little") + data[144:]
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, EXPECTED)


@pytest.mark.parametrize(
    "data",
    [b"", bytes(200), b"\x08\0", b"\x08\0\x05\0text", b"\x08\0\x99\0CS\x04\0", b"GIF89a" * 40],
)
def test_what_is_no_dicom(data):
    assert not is_dicom(data)
    with pytest.raises(InputError) as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == "not_a_film"


@pytest.mark.parametrize("syntax", LOSSLESS[4:], ids=named)
@pytest.mark.parametrize("left", [0, 3, 8])
def test_the_end_of_the_file_may_stand_for_the_delimiter(syntax, left):
    data = make_dicom(FILM, syntax, 12)
    assert data.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    pixels = decode_film(data[: len(data) - 8 + left], SETTINGS).pixels
    np.testing.assert_array_equal(pixels, EXPECTED)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
def test_a_file_that_is_cut_anywhere_is_truncated_errors(syntax):
    data = make_dicom(FILM, syntax, 12)
    end = len(data) - (8 if syntax in LOSSLESS[4:] else 0)
    start = max(data.find(tag) for tag in (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10"))
    # The last bytes of a frame may be padding. Where an element ends the file may end as well.
    for length in (*range(max(start + 1, meta_end(data) + 9), end - 40, 37), end - 40):
        with pytest.raises(InputError) as caught:
            decode_film(data[:length], SETTINGS)
        assert caught.value.kind in ("truncated_image", "corrupt_image"), length
        if syntax != uid.RLELossless:
            assert caught.value.kind == "truncated_image", (length, caught.value.message)


def test_a_cut_in_the_meta_group_errors():
    data = make_dicom(FILM, bits=12)
    for length in range(140, meta_end(data), 5):
        with pytest.raises(InputError) as caught:
            decode_film(data[:length], SETTINGS)
        assert caught.value.kind == "truncated_image"


@pytest.mark.parametrize("undefined", [False, True])
def test_a_cut_in_a_sequence_before_the_pixels_errors(undefined):
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.add_new("LUTData", "OW", bytes(8192))
    dataset = make_dataset(FILM, bits=12, VOILUTSequence=[item])
    dataset["VOILUTSequence"].is_undefined_length = undefined
    item.is_undefined_length_sequence_item = undefined
    data = to_bytes(dataset)
    with pytest.raises(InputError) as caught:
        decode_film(data[:4000], SETTINGS)
    assert caught.value.kind == "truncated_image"


def test_a_file_without_pixels_is_not_cut_errors():
    data = make_dicom(FILM, bits=12, PixelData=None)
    for whole in (data, data + bytes(6)):
        with pytest.raises(InputError, match="holds no pixels") as caught:
            decode_film(whole, SETTINGS)
        assert caught.value.kind == "no_pixels"


def test_a_cut_file_that_never_had_an_image_has_no_pixels_errors():
    data = shared("data/xrays/broken/rtplan_truncated.dcm").read_bytes()
    with pytest.raises(InputError) as caught:
        decode_film(data, SETTINGS)
    assert caught.value.kind == "no_pixels"


def test_a_missing_pad_byte_at_the_end_loses_nothing():
    film = ramp(47, 63, 8)
    data = make_dicom(film)
    assert data.endswith(b"\0")
    np.testing.assert_array_equal(decode_film(data[:-1], SETTINGS).pixels, film)


def test_an_encapsulated_frame_under_a_native_transfer_syntax():
    dataset = make_dataset(FILM, uid.JPEG2000Lossless, 12)
    assert get_frame(dataset.PixelData, 0, number_of_frames=1)
    data = to_bytes(dataset)
    known, native = uid.JPEG2000Lossless.encode(), uid.ExplicitVRLittleEndian.encode()
    data = data.replace(known, native.ljust(len(known), b"\0"), 1)
    np.testing.assert_array_equal(decode_film(data, SETTINGS).pixels, EXPECTED)


def test_a_kept_attribute_that_breaks_its_vr_is_kept_as_it_is_written():
    dataset = make_dataset(FILM, bits=12)
    dataset.add_new("ExposureTime", "LO", "long")
    data = to_bytes(dataset).replace(b"\x18\0\x50\x11LO", b"\x18\0\x50\x11IS")
    film = decode_film(data, DecodeSettings(keep_tags=("ExposureTime",)))
    assert film.kept == {"ExposureTime": "long"}


def test_a_12_bit_film_of_the_wg04_set_is_read():
    """Its scan selects no coefficients, as all of that set; dcmtk warns, and shows it."""
    data = shared("data/xrays/broken/RG3_JPLY.dcm").read_bytes()
    film = decode_film(data, SETTINGS)
    assert film.pixels.shape == (1760, 1760)
    assert (film.grey_scale, film.photometric) == ("window", "MONOCHROME1")
    # Of the picture by dcmj2pnm +Wi 1.
    assert abs(film.pixels.mean() - 177.17) < 0.5
    assert abs(film.pixels.std() - 92.02) < 0.5
