import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.jp2k import Jpeg2000Decoder
from beamscope.transforms.slides.readers.native.jpeg import TileError
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.slides.readers.testing import read_patches
from tests.shared_data import shared
from tests.slides.readers.native.files import (
    APERIO,
    TiledSlide,
    blobs,
    damage,
    jpeg_2000,
    write_slide,
)

SIDE = 128
# Where the header of a codestream has what the size marker says: see ITU-T T.800, A.5.1.
WIDTH_AT, LEFT_AT, DEPTH_AT, SUBSAMPLING_AT = 8, 16, 42, 46


def decode(data: bytes, scale: int = 1, ycbcr: bool = False, side: int = SIDE) -> np.ndarray:
    out = np.full((side // scale, side // scale, 3), 77, np.uint8)
    Jpeg2000Decoder(side, side, ycbcr=ycbcr).decode(data, scale, out)
    return out


def by_pillow(data: bytes, halvings: int = 0) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    image.reduce = halvings
    image.load()
    return np.asarray(image)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


RGB = blobs(SIDE, SIDE)
PLAIN = jpeg_2000(RGB, irreversible=True, quality_layers=[8])
APART = {
    "scanners' own": {"irreversible": True, "quality_layers": [8]},
    "reversible": {},
    "by resolution, three layers": {
        "irreversible": True,
        "progression": "RLCP",
        "quality_layers": [40, 20, 8],
    },
    "by resolution and place": {"progression": "RPCL"},
    "precincts": {"progression": "RPCL", "precinct_size": (64, 64)},
    "three halvings": {"num_resolutions": 4},
    "lengths of packets": {"plt": True},
}
TOGETHER = {
    "layers first": {"irreversible": True, "quality_layers": [40, 20, 8]},
    "by place": {"progression": "PCRL"},
    "by component": {"progression": "CPRL"},
    "in four tiles": {"tile_size": (64, 64)},
    "one resolution": {"num_resolutions": 1},
}


@pytest.mark.parametrize("options", [*APART.values(), *TOGETHER.values()], ids=str)
def test_whole_tiles_are_those_of_pillow(options):
    data = jpeg_2000(RGB, **options)
    np.testing.assert_array_equal(decode(data), by_pillow(data))


@pytest.mark.parametrize("halvings", [1, 2, 3])
@pytest.mark.parametrize("kind", APART)
def test_lower_resolutions_are_those_of_pillow(kind, halvings):
    data = jpeg_2000(RGB, **APART[kind])
    # OpenJPEG rounds 9/7 wavelets of a part of the resolutions a little otherwise.
    most = np.abs(decode(data, 2**halvings).astype(int) - by_pillow(data, halvings)).max()
    assert most <= (1 if APART[kind].get("irreversible") else 0)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("kind", TOGETHER)
def test_resolutions_that_are_not_apart_are_averaged(kind, scale):
    data = jpeg_2000(RGB, **TOGETHER[kind])
    expected = resample(by_pillow(data), SIDE // scale, SIDE // scale)
    np.testing.assert_array_equal(decode(data, scale), expected)


def test_a_real_scanner_keeps_resolutions_apart():
    path = shared("data/slides/tcga-cr-7395-01a-01-ts1.svs")  # written by Kakadu
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, length = page.dataoffsets[40], page.databytecounts[40]
    data = path.read_bytes()[offset : offset + length]
    half = decode(data, 2, side=256)
    assert np.abs(half.astype(int) - by_pillow(data, 1)).max() <= 1
    assert not np.array_equal(half, resample(by_pillow(data), 128, 128))


def test_every_colour_of_ycbcr_is_that_of_openslide(tmp_path):
    """Each pair of chroma, at the luma that shows most of it, and at both ends."""
    blue, red = np.meshgrid(np.arange(256), np.arange(256))
    tiles = [
        jpeg_2000(np.dstack([np.full_like(blue, luma), blue, red]).astype(np.uint8))
        for luma in (0, 90, 128, 170, 255)
    ]
    path = tmp_path / "colours.svs"
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(256, 256 * len(tiles), 3),
        dtype=np.uint8,
        photometric="rgb",
        compression=33003,
        tile=(256, 256),
        description=APERIO,
        metadata=None,
    )
    with openslide.OpenSlide(path) as slide:
        theirs = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    ours = np.hstack([decode(tile, ycbcr=True, side=256) for tile in tiles])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no JPEG 2000 codestream"),
        (b"\xff\xd8\xff\xe0", "no JPEG 2000 codestream"),
        (PLAIN[:30], "incomplete JPEG 2000 header"),
        (PLAIN[:60], "incomplete JPEG 2000 header"),
        (changed(PLAIN, 4, b"\xff\xff"), "incomplete JPEG 2000 header"),
        (changed(PLAIN, WIDTH_AT, b"\0\0\0\x80\0\0\0\x81"), "128 x 129 px, not 128 x 128"),
        (changed(PLAIN, LEFT_AT, b"\0\0\0\1"), "128 x 128 px"),
        (changed(PLAIN, DEPTH_AT, b"\x0b"), "three 8-bit components"),
        (changed(PLAIN, DEPTH_AT, b"\x87"), "three 8-bit components"),
        (changed(PLAIN, SUBSAMPLING_AT, b"\2"), "subsampled chroma"),
        (PLAIN[:2000], "JPEG 2000: "),
    ],
)
def test_decode_errors(data, reason):
    for scale in (1, 2):
        with pytest.raises(TileError, match=reason):
            decode(data, scale)


def test_grey_errors():
    buffer = io.BytesIO()
    Image.fromarray(RGB[..., 0]).save(buffer, "JPEG2000", no_jp2=True)
    with pytest.raises(TileError, match="three 8-bit components"):
        decode(buffer.getvalue())


@pytest.mark.parametrize("at", [3, 12, 44, 52, 60, 200, 1500])
def test_damaged_tiles_are_as_openslide_reads_them(at, tmp_path):
    slide = TiledSlide(description=APERIO, compression=33005)
    path = write_slide(tmp_path / "slide.svs", slide)
    damage(path, 0, 8, at, b"\xff\x93\xff")
    native = NativeReader.open(str(path))
    x, y = (axis.ravel() for axis in np.meshgrid(range(0, 560, 70), range(0, 480, 60)))
    ours, problems = read_patches(native, x, y, ReadPlan(0, 1.0, 50, 50, 0.25, 0.25))
    for row, (left, top) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        try:
            with openslide.OpenSlide(path) as plain:
                theirs = np.asarray(plain.read_region((left, top), 0, (50, 50)).convert("RGB"))
        except openslide.OpenSlideError:
            assert isinstance(problems[row], InputError)
        else:
            assert problems[row] is None
            np.testing.assert_array_equal(ours[row], theirs)


def test_subsampled_chroma_is_left_to_openslide(tmp_path):
    slide = TiledSlide(description=APERIO, compression=33003)
    path = write_slide(tmp_path / "slide.svs", slide)
    for tile in range(30):
        damage(path, 0, tile, SUBSAMPLING_AT, b"\2")
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert "subsampled chroma" in answer.reason


def test_threads_decode_the_same():
    with ThreadPoolExecutor(4) as threads:
        for decoded in threads.map(decode, [PLAIN] * 20):
            np.testing.assert_array_equal(decoded, by_pillow(PLAIN))
