"""Samples in their words, and frames in their fragments, in every transfer syntax.

The expected values are those that were encoded; where PS3.5 8.1.1 changes them, it is done by hand.
"""

import imagecodecs
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from tests.xrays.dicom_makers import LOSSLESS, make_dataset, make_dicom, ramp, to_bytes

MINMAX = DecodeSettings(window="minmax")
# Those whose data are the words themselves, and those whose codestreams have a precision.
WORDS = LOSSLESS[:5]
STREAMS = LOSSLESS[5:]
COMPRESSED = LOSSLESS[4:]


def named(syntax):
    return syntax.name[:30]


def shown(data):
    return decode_film(data, MINMAX).pixels


def stretched(values):
    values = values.astype(float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


def left_aligned(film, bits, junk=0):
    """Samples in the highest bits of 16-bit words."""
    return ((film.astype(np.uint16) & (2**bits - 1)) << (16 - bits)) | np.uint16(junk)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("bits", "junk"), [(12, 0), (12, 9), (10, 63), (15, 1)])
def test_samples_may_lie_anywhere_in_their_words(syntax, signed, bits, junk):
    film = ramp(bits=bits, signed=signed)
    words = left_aligned(film, bits, junk)
    data = make_dicom(words, syntax, bits, HighBit=15, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(shown(data), stretched(film))


@pytest.mark.parametrize("syntax", WORDS, ids=named)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("junk", [0x1000, 0x8000, 0xF000])
def test_bits_above_a_sample_are_no_part_of_it(syntax, signed, junk):
    film = ramp(bits=12, signed=signed)
    words = (film.astype(np.uint16) & 0xFFF) ^ np.uint16(junk)
    data = make_dicom(words, syntax, 12, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(shown(data), stretched(film))


@pytest.mark.parametrize("syntax", STREAMS, ids=named)
def test_a_codestream_of_values_that_the_header_has_no_bits_for_errors(syntax):
    data = make_dicom(ramp(bits=14), syntax, 12)
    with pytest.raises(InputError, match="16 bits, and values that do not fit in the 12") as caught:
        shown(data)
    assert caught.value.kind == "corrupt_dicom"


@pytest.mark.parametrize("syntax", STREAMS, ids=named)
def test_overlays_in_a_codestream_are_no_part_of_the_film(syntax):
    film = ramp(bits=12)
    dataset = make_dataset(film | np.uint16(0x8000) * (film % 7 == 0), syntax, 12)
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 15)
    np.testing.assert_array_equal(shown(to_bytes(dataset)), stretched(film))


@pytest.mark.parametrize("syntax", STREAMS, ids=named)
def test_signs_that_fill_a_wider_codestream_are_no_misfit(syntax):
    film = ramp(bits=12, signed=True)
    np.testing.assert_array_equal(shown(make_dicom(film, syntax, 12)), stretched(film))


def narrow(film, syntax):
    """A film of 8 bits in a codestream of as many."""
    if syntax == uid.JPEGLSLossless:
        return imagecodecs.jpegls_encode(film)
    if syntax == uid.JPEG2000Lossless:
        return imagecodecs.jpeg2k_encode(film, codecformat="j2k", reversible=True, level=0)
    return imagecodecs.ljpeg_encode(film, bitspersample=8)


@pytest.mark.parametrize("syntax", STREAMS, ids=named)
@pytest.mark.parametrize("high", [11, 15])
def test_a_codestream_narrower_than_the_header_has_the_values(syntax, high):
    film = ramp(bits=8)
    frame = narrow(film, syntax)
    data = make_dicom(film.astype(np.uint16), syntax, 12, frame, HighBit=high)
    np.testing.assert_array_equal(shown(data), stretched(film))


def test_signed_values_in_a_codestream_too_narrow_to_tell_their_sign_errors():
    film = ramp(bits=8)
    frame = narrow(film, uid.JPEGLSLossless)
    data = make_dicom(film.astype(np.int16), uid.JPEGLSLossless, 12, frame)
    with pytest.raises(InputError, match="8 bits"):
        shown(data)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_high_throughput_jpeg_2000(bits):
    film = ramp(bits=bits)
    data = make_dicom(film, uid.HTJ2KLossless, bits, imagecodecs.htj2k_encode(film))
    np.testing.assert_array_equal(shown(data), stretched(film))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored_signed", [False, True])
def test_the_sign_of_a_jpeg_2000_and_of_its_header(signed, stored_signed):
    """pydicom takes the bits of either for what the other says, and so does this."""
    film = ramp(bits=12, signed=True) if signed else ramp(bits=12) // 2
    kind = np.int16 if stored_signed else np.uint16
    frame = imagecodecs.jpeg2k_encode(
        film.astype(kind) & 0xFFF if signed and not stored_signed else film.astype(kind),
        codecformat="j2k", reversible=True, level=0, bitspersample=12,
    )  # fmt: skip
    data = make_dicom(
        film.astype(np.uint16), uid.JPEG2000Lossless, 12, frame, PixelRepresentation=int(signed)
    )
    np.testing.assert_array_equal(shown(data), stretched(film))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_an_8_bit_jpeg_in_words_of_16_bits(syntax):
    film = ramp(bits=8)
    frame = simplejpeg.encode_jpeg(film[:, :, None].copy(), 100, "GRAY", "Gray")
    pixels = shown(make_dicom(film.astype(np.uint16), syntax, 8, frame))
    assert np.abs(pixels - film.astype(int)).max() <= 3


def test_a_12_bit_jpeg():
    film = ramp(bits=12)
    frame = imagecodecs.jpeg8_encode(film, 98, bitspersample=12)
    pixels = shown(make_dicom(film, uid.JPEGExtended12Bit, 12, frame))
    assert np.abs(pixels - stretched(film)).max() <= 2


def test_a_lossy_jpeg_that_overshoots_its_bits_does_not_wrap():
    film = np.where(np.indices((64, 64)).sum(axis=0) % 16 < 8, 1023, 0).astype(np.uint16)
    frame = imagecodecs.jpeg8_encode(film, 60, bitspersample=12)
    assert imagecodecs.jpeg8_decode(frame).max() > 1023
    pixels = shown(make_dicom(film, uid.JPEGExtended12Bit, 10, frame))
    assert np.abs(pixels.astype(int) - stretched(film)).max() <= 40


def test_a_sequential_scan_whose_header_selects_no_coefficients():
    film = ramp(bits=12)
    frame = bytearray(imagecodecs.jpeg8_encode(film, 98, bitspersample=12))
    scan = frame.index(b"\xff\xda")
    assert frame[scan + 7 : scan + 10] == b"\0\x3f\0"
    frame[scan + 8] = 0
    data = make_dicom(film, uid.JPEGExtended12Bit, 12, bytes(frame))
    assert np.abs(shown(data) - stretched(film)).max() <= 2


@pytest.mark.parametrize(
    ("allocated", "stored", "high"), [(16, 12, 7), (16, 12, 16), (16, 16, 11), (16, 20, 19)]
)
def test_bits_that_contradict_each_other_errors(allocated, stored, high):
    """dcmtk refuses the same four."""
    data = make_dicom(ramp(bits=12), BitsAllocated=allocated, BitsStored=stored, HighBit=high)
    with pytest.raises(InputError, match="contradict") as caught:
        shown(data)
    assert caught.value.kind == "corrupt_dicom"


@pytest.mark.parametrize("allocated", [12, 24, 64])
def test_words_of_other_sizes_errors(allocated):
    with pytest.raises(InputError, match=f"words of {allocated} bits") as caught:
        shown(make_dicom(ramp(bits=12), BitsAllocated=allocated))
    assert caught.value.kind == "unsupported_dicom"


@pytest.mark.parametrize("bits", [20, 32])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", WORDS[:4], ids=named)
def test_words_of_32_bits(bits, signed, syntax):
    film = (ramp(bits=12).astype(np.int64) << (bits - 12)) - (2 ** (bits - 1) if signed else 0)
    words = film.astype(np.int32 if signed else np.uint32)
    np.testing.assert_array_equal(shown(make_dicom(words, syntax, bits)), stretched(film))


def test_words_of_one_bit():
    film = (np.indices((48, 64)).sum(axis=0) % 5 == 0).astype(np.uint8)
    packed = np.packbits(film.ravel(), bitorder="little").tobytes()
    data = make_dicom(film, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed)
    np.testing.assert_array_equal(shown(data), film * 255)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floating_point_pixels(kind):
    film = ramp(bits=12) / 4095
    dataset = make_dataset(ramp(bits=12), PixelData=None)
    keyword = "FloatPixelData" if kind == np.float32 else "DoubleFloatPixelData"
    setattr(dataset, keyword, film.astype(kind).tobytes())
    dataset.BitsAllocated = np.dtype(kind).itemsize * 8
    np.testing.assert_array_equal(shown(to_bytes(dataset)), stretched(film.astype(kind)))


@pytest.mark.parametrize("syntax", LOSSLESS, ids=named)
def test_two_frames_are_two_frames_though_nothing_says_so(syntax):
    film = ramp(bits=12)
    dataset = make_dataset(film, syntax, 12)
    if syntax in COMPRESSED:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        dataset.PixelData = encapsulate([frame, frame])
    else:
        dataset.PixelData = dataset.PixelData * 2
    with pytest.raises(InputError, match="2 frames") as caught:
        shown(to_bytes(dataset))
    assert caught.value.kind == "multi_frame"


def fragmented(frame, count, table):
    """An encapsulated frame in so many fragments, with an offset table of whatever it says."""
    step = -(-len(frame) // count // 2) * 2
    pieces = [frame[i : i + step] for i in range(0, len(frame), step)]
    items = [b"".join(offset.to_bytes(4, "little") for offset in table), *pieces]
    return (
        b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in items)
        + b"\xfe\xff\xdd\xe0\0\0\0\0"
    )


@pytest.mark.parametrize("syntax", COMPRESSED, ids=named)
@pytest.mark.parametrize(
    ("count", "table"),
    [(1, []), (1, [0]), (1, [8]), (1, [4096, 9]), (3, []), (3, [0]), (3, [0, 90, 180]), (7, [70])],
)
def test_a_frame_may_lie_in_fragments_and_its_offset_table_may_err(syntax, count, table):
    film = ramp(bits=12)
    dataset = make_dataset(film, syntax, 12)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = fragmented(frame, count, table)
    np.testing.assert_array_equal(shown(to_bytes(dataset)), stretched(film))


def test_an_extended_offset_table_may_err():
    film = ramp(bits=12)
    dataset = make_dataset(film, uid.JPEG2000Lossless, 12)
    dataset.ExtendedOffsetTable = (b"\x40" + bytes(7)) * 2
    dataset.ExtendedOffsetTableLengths = (b"\x40" + bytes(7)) * 2
    np.testing.assert_array_equal(shown(to_bytes(dataset)), stretched(film))


@pytest.mark.parametrize("syntax", COMPRESSED, ids=named)
@pytest.mark.parametrize("pad", [b"\0", b"\xff", b" ", b"\xd9", b"\0\0\0", b"\xff\xff\xff\xff"])
def test_a_frame_may_be_padded_with_anything(syntax, pad):
    if syntax == uid.RLELossless and len(pad) > 1:
        pytest.skip("a segment is padded to an even length, and no further")
    film = ramp(bits=12)
    dataset = make_dataset(film, syntax, 12)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax != uid.RLELossless:
        end = b"\xff\xd9"
        frame = frame[: frame.rindex(end) + 2]
    dataset.PixelData = fragmented(frame + pad, 1, [])
    np.testing.assert_array_equal(shown(to_bytes(dataset)), stretched(film))


@pytest.mark.parametrize("height", [1, 3, 47])
def test_an_rle_film_of_an_odd_number_of_pixels(height):
    film = ramp(height, 63, 12)
    data = make_dicom(film, uid.RLELossless, 12)
    np.testing.assert_array_equal(shown(data), stretched(film))


def test_a_jpeg_2000_without_its_end_marker_is_whole():
    film = ramp(bits=12)
    frame = imagecodecs.jpeg2k_encode(film, codecformat="j2k", reversible=True, level=0)
    assert frame.endswith(b"\xff\xd9")
    data = make_dicom(film, uid.JPEG2000Lossless, 12, frame[:-2])
    np.testing.assert_array_equal(shown(data), stretched(film))


@pytest.mark.parametrize("container", ["jp2", "j2k"])
def test_a_jpeg_2000_in_boxes_or_without(container):
    film = ramp(bits=12)
    frame = imagecodecs.jpeg2k_encode(film, codecformat=container, reversible=True, level=0)
    data = make_dicom(film, uid.JPEG2000Lossless, 12, frame)
    np.testing.assert_array_equal(shown(data), stretched(film))


def test_the_frame_and_not_the_transfer_syntax_says_which_jpeg_it_is():
    film = ramp(bits=12)
    for syntax in STREAMS:
        frame = get_frame(make_dataset(film, syntax, 12).PixelData, 0, number_of_frames=1)
        data = make_dicom(film, uid.JPEGBaseline8Bit, 12, frame)
        np.testing.assert_array_equal(shown(data), stretched(film))


@pytest.mark.parametrize(
    ("written", "vr", "signed", "value"),
    [
        (63536, "US", True, -2000),
        (-2000, "SS", True, -2000),
        (63536, "US", False, 63536),
        (-2000, "SS", False, 63536),
        (0, "US", True, 0),
        ("-2000", "DS", True, -2000),
        ("63536", "IS", True, -2000),
        (b"\x30\xf8", "OW", True, -2000),
        (b"\x30\xf8", "UN", True, -2000),
        (-2000, "SL", True, -2000),
    ],
)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_padding_never_sets_the_scale(written, vr, signed, value, syntax):
    film = ramp(bits=12).astype(np.int32) // 8 + 700
    film[:, :9] = value
    dataset = make_dataset(film.astype(np.int16 if signed else np.uint16), syntax, 16)
    if syntax == uid.ImplicitVRLittleEndian and vr in ("DS", "IS", "SL"):
        pytest.skip("without a VR it is a word")
    dataset.add_new("PixelPaddingValue", vr, written)
    pixels = decode_film(to_bytes(dataset), DecodeSettings()).pixels
    assert not pixels[:, :9].any()
    np.testing.assert_array_equal(pixels[:, 9:], stretched(film[:, 9:]))


@pytest.mark.parametrize(("first", "last"), [(60000, 65535), (65535, 60000)])
def test_a_range_of_padding_above_the_bits_of_a_sample(first, last):
    film = (ramp(bits=12) // 2 + 9).astype(np.uint16)
    film[:, :5] = 60001
    data = make_dicom(film, bits=12, PixelPaddingValue=first, PixelPaddingRangeLimit=last)
    pixels = decode_film(data, DecodeSettings()).pixels
    assert not pixels[:, :5].any()
    np.testing.assert_array_equal(pixels[:, 5:], stretched(film[:, 5:]))


@pytest.mark.parametrize("keyword", ["PixelPaddingValue", "PixelPaddingRangeLimit"])
def test_an_empty_padding_value_says_nothing(keyword):
    dataset = make_dataset(ramp(bits=12), bits=12)
    dataset.add_new(keyword, "US", None)
    np.testing.assert_array_equal(shown(to_bytes(dataset)), stretched(ramp(bits=12)))


def luma(rgb):
    return rgb[..., 0] * 0.299 + rgb[..., 1] * 0.587 + rgb[..., 2] * 0.114


def colours():
    film = ramp(bits=8)
    return np.dstack([film, film[::-1], 255 - film])


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", [*WORDS[:2], uid.RLELossless], ids=named)
def test_planes_of_colour(planar, syntax):
    rgb = colours()
    dataset = make_dataset(rgb, syntax, 8, PlanarConfiguration=planar)
    if planar and syntax != uid.RLELossless:
        dataset.PixelData = rgb.transpose(2, 0, 1).tobytes()
    assert np.abs(shown(to_bytes(dataset)) - luma(rgb.astype(float))).max() <= 0.51


def test_the_luminance_of_ybr_is_its_first_sample():
    ybr = colours()
    pixels = shown(make_dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_array_equal(pixels, ybr[:, :, 0])
    halved = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=2)
    data = make_dicom(ybr, PhotometricInterpretation="YBR_FULL_422", PixelData=halved.tobytes())
    np.testing.assert_array_equal(shown(data), ybr[:, :, 0])


def test_a_jpeg_of_red_green_and_blue_that_only_the_header_says():
    """Without a marker libjpeg would take the components for YCbCr."""
    rgb = colours()
    frame = imagecodecs.jpeg8_encode(rgb, 98, colorspace="RGB", outcolorspace="RGB")
    at = frame.index(b"\xff\xee")  # Adobe's marker, and the ids R, G and B
    bare = bytearray(frame[:at] + frame[at + 2 + int.from_bytes(frame[at + 2 : at + 4]) :])
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        place = bare.index(marker)
        for number in range(3):
            bare[place + first + step * number] = number + 1
    data = make_dicom(rgb, uid.JPEGBaseline8Bit, 8, bytes(bare), PhotometricInterpretation="RGB")
    assert np.abs(shown(data) - luma(rgb.astype(float))).max() <= 6


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"PixelData": b""}, "no_pixels"),
        ({"NumberOfFrames": "1.0"}, None),
        ({"NumberOfFrames": ""}, None),
        ({"NumberOfFrames": "x"}, None),
        ({"NumberOfFrames": 0}, None),
        ({"SamplesPerPixel": 3}, "unsupported_dicom"),
        ({"SamplesPerPixel": None}, None),
        ({"HighBit": None}, None),
        ({"BitsStored": None, "HighBit": None}, None),
        ({"PixelRepresentation": None}, None),
    ],
)
def test_what_a_header_lacks_or_has_wrong(change, kind):
    film = ramp(bits=12)
    with pydicom.config.disable_value_validation():
        dataset = make_dataset(film, bits=12)
        for keyword, value in change.items():
            if value is None:
                del dataset[keyword]
            elif keyword == "NumberOfFrames":
                dataset.add_new(keyword, "CS", str(value))
            else:
                setattr(dataset, keyword, value)
        data = to_bytes(dataset)
    if kind is None:
        np.testing.assert_array_equal(shown(data), stretched(film))
        return
    with pytest.raises(InputError) as caught:
        shown(data)
    assert caught.value.kind == kind
