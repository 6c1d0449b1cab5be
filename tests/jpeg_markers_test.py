import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from beamscope.transforms import jpeg_markers
from beamscope.transforms.jpeg_markers import CutOffError, Frame, MarkerError


def film():
    return np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)


def jpeg(**options):
    file = io.BytesIO()
    Image.fromarray(film()).save(file, "JPEG", **options)
    return file.getvalue()


PLAIN = jpeg()
PROGRESSIVE = jpeg(progressive=True)
LOSSLESS = bytes(imagecodecs.ljpeg_encode(film()))
LS = bytes(imagecodecs.jpegls_encode(film()))


def markers(data):
    return [segment.marker for segment in jpeg_markers.segments(data)]


def test_segments_end_with_the_scan_and_lie_end_to_end():
    walked = list(jpeg_markers.segments(PLAIN))
    assert [segment.marker for segment in walked] == [0xE0, 0xDB, 0xC0, 0xC4, 0xC4, 0xDA]
    ends = [2, *(segment.end for segment in walked)]
    assert [segment.start for segment in walked] == ends[:-1]
    assert walked[0].body(PLAIN).startswith(b"JFIF\0")


def test_fill_bytes_and_markers_without_parameters_are_passed_over():
    filled = PLAIN[:2] + b"\xff\xff\xff" + b"\xff\x01\xff\xd0" + PLAIN[2:]
    assert markers(filled) == markers(PLAIN)


@pytest.mark.parametrize(
    ("data", "marker", "precision"),
    [(PLAIN, 0xC0, 8), (PROGRESSIVE, 0xC2, 8), (LOSSLESS, 0xC3, 8), (LS, 0xF7, 8)],
    ids=["baseline", "progressive", "lossless", "JPEG-LS"],
)
def test_read_frame(data, marker, precision):
    frame = jpeg_markers.read_frame(data)
    assert frame == Frame(marker, precision, 40, 56, frame.components)
    assert [sampling for _, sampling in frame.components] == [0x11]


@pytest.mark.parametrize("data", [PLAIN, PROGRESSIVE, LOSSLESS, LS])
@pytest.mark.parametrize("rest", [b"", b"\0", b"\xff", b"\xff\xd9", b"\xff\xd8\xff\xe0 another"])
def test_an_image_ends_where_it_ends_whatever_follows(data, rest):
    assert jpeg_markers.image_end(data + rest) == len(data)


@pytest.mark.parametrize("data", [PLAIN, PROGRESSIVE, LOSSLESS, LS])
def test_a_stream_that_is_cut_anywhere_has_no_end_errors(data):
    for length in range(2, len(data)):
        with pytest.raises(CutOffError):
            jpeg_markers.image_end(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\x89PNG",
        b"\xff\xd8junk",
        b"\xff\xd8\xff\xe0\x00\x01junk",
        b"\xff\xd8\xff\xda\x00\x02" + bytes(20) + b"\xff\xd9",
        b"\xff\xd8\xff\xc0\x00\x05\x08\x00\x01\x00\xff\xd9",
    ],
)
def test_read_frame_errors(data):
    with pytest.raises(MarkerError):
        jpeg_markers.read_frame(data)
