"""Generic TIFFs of every kind: OpenSlide gives the picture that was saved, or they are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.tiff_contents import check_generic_tiff
from tests.shared_data import shared

RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(32, axis=0).repeat(32, axis=1)
GREY = PICTURE[..., 0]
OPAQUE = np.full_like(GREY, 255)
PLANES = np.moveaxis(PICTURE, -1, 0)
HOW: dict[str, Any] = {
    "tile": (64, 64), "resolution": (20000, 20000), "resolutionunit": "CENTIMETER",
    "metadata": None,
}  # fmt: skip
COLOURS = RANDOM.integers(0, 65536, (3, 256), dtype=np.uint16)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def saved(path: Path, array: np.ndarray, **how: Any) -> Path:
    tifffile.imwrite(path, array, **HOW | how)
    return path


def seen_by_openslide(path: Path) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions))


RIGHT = {
    "RGB": (PICTURE, {"photometric": "rgb"}, PICTURE),
    "JPEG": (PICTURE, {"photometric": "rgb", "compression": "jpeg"}, None),
    "separate planes": (PLANES, {"photometric": "rgb", "planarconfig": "separate"}, PICTURE),
    "16 bits, all of them used": (PICTURE.astype(np.uint16) * 257, {"photometric": "rgb"}, PICTURE),
    "grey": (GREY, {"photometric": "minisblack"}, as_rgb(GREY)),
    "4 bits": (GREY >> 4, {"photometric": "minisblack", "bitspersample": 4},
               as_rgb((GREY >> 4) * 17)),
    "white is zero": (GREY, {"photometric": "miniswhite"}, as_rgb(255 - GREY)),
    "palette": (GREY, {"photometric": "palette", "colormap": COLOURS},
                (COLOURS.T >> 8).astype(np.uint8)[GREY]),
    "transparency": (np.dstack([PICTURE, OPAQUE]),
                     {"photometric": "rgb", "extrasamples": ["unassalpha"]}, PICTURE),
    "transparency, multiplied in": (np.dstack([PICTURE, OPAQUE]),
                                    {"photometric": "rgb", "extrasamples": ["assocalpha"]},
                                    PICTURE),
    "predictor": (PICTURE, {"photometric": "rgb", "compression": "lzw", "predictor": True},
                  PICTURE),
}  # fmt: skip


@pytest.mark.parametrize("kind", RIGHT)
def test_what_openslide_shows_as_it_is_meant(tmp_path: Path, kind: str) -> None:
    array, how, expected = RIGHT[kind]
    path = saved(tmp_path / "a.tif", array, **how)
    check_generic_tiff(str(path))
    if expected is None:
        expected = tifffile.imread(path)
    found = seen_by_openslide(path)[..., :3]
    assert np.abs(found.astype(int) - expected).max() <= (1 if kind != "JPEG" else 3)


def orientation(value: int) -> dict[str, Any]:
    return {"photometric": "rgb", "extratags": [(274, 3, 1, value, True)]}


def turned(value: int) -> np.ndarray:
    """As a TIFF reader shows a picture of that Orientation (TIFF 6.0, page 36)."""
    rows = PICTURE if value < 5 else PICTURE.swapaxes(0, 1)
    across, down = (
        slice(None, None, -1 if value in at else 1) for at in ((2, 3, 6, 7), (3, 4, 7, 8))
    )
    return rows[down, across]


# A kind, how it is saved, what it shows (None: not certain), and words of the message.
WRONG: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray | None, str]] = {
    "12 bits of 16": (PICTURE.astype(np.uint16) * 16, {"photometric": "rgb"}, PICTURE,
                      "16 bits a sample"),
    "14 bits of 16, grey": (GREY.astype(np.uint16) * 64, {"photometric": "minisblack"},
                            as_rgb(GREY), "16 bits a sample"),
    "12 bits of 16, compressed": (
        PICTURE.astype(np.uint16) * 16, {"photometric": "rgb", "compression": "lzw"}, PICTURE,
        "16 bits a sample"),
    "three grey pages": (PLANES, {"photometric": "minisblack"}, PICTURE, "3 grey planes"),
    "two grey pages": (PLANES[:2], {"photometric": "minisblack"}, None, "2 grey planes"),
    "grey samples": (PICTURE, {"photometric": "minisblack", "planarconfig": "contig"}, PICTURE,
                     "2 samples more"),
    "a fourth sample": (np.dstack([PICTURE, GREY]),
                        {"photometric": "rgb", "extrasamples": ["unspecified"]}, PICTURE,
                        "1 sample more"),
    "five samples": (np.dstack([PICTURE, GREY, GREY]),
                     {"photometric": "rgb", "extrasamples": ["unspecified"] * 2}, PICTURE,
                     "2 samples more"),
    "grey with transparency": (np.dstack([GREY, GREY // 2 + 100]),
                               {"photometric": "minisblack", "extrasamples": ["unassalpha"],
                                "planarconfig": "contig"}, as_rgb(GREY), "grey with transparency"),
    "CMYK": (np.dstack([255 - PICTURE, 0 * GREY]), {"photometric": "separated"}, None,
             "SEPARATED"),
    "Lab": (PICTURE, {"photometric": "cielab"}, None, "CIELAB"),
    "signed": (PICTURE.view(np.int8), {"photometric": "rgb"}, None, "format 2"),
    "a volume": (np.stack([PICTURE, PICTURE // 2]),
                 {"photometric": "rgb", "volumetric": True, "tile": (1, 64, 64)}, None,
                 "a volume of 2 planes"),
    **{f"Orientation {value}": (PICTURE, orientation(value), turned(value),
                                f"Orientation {value}") for value in range(2, 9)},
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_openslide_shows_otherwise_is_refused(tmp_path: Path, kind: str) -> None:
    array, how, meant, words = WRONG[kind]
    path = saved(tmp_path / "a.tif", array, **how)
    check_refused(path, words)
    if meant is not None:
        found = seen_by_openslide(path)[..., :3]
        assert found.shape != meant.shape or np.abs(found.astype(int) - meant).max() > 100


def test_orientation_of_jpeg_tiles_is_refused(tmp_path: Path) -> None:
    # Which the native reader would decode.
    path = saved(tmp_path / "a.tif", PICTURE, **orientation(3), compression="jpeg")
    check_refused(path, "Orientation 3")


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ((529, 5, 3, (2126, 10000, 7152, 10000, 722, 10000), True), "YCbCrCoefficients 0.2126"),
        (
            (532, 5, 6, (15, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1), True),
            "ReferenceBlackWhite 15 235",
        ),
        ((529, 5, 3, (299, 1000, 587, 1000, 114, 1000), True), None),
        ((532, 5, 6, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1), True), None),
    ],
)
def test_colours_that_jpeg_does_not_have_are_refused(
    tmp_path: Path, tag: tuple[Any, ...], words: str | None
) -> None:
    path = saved(
        tmp_path / "a.tif", PICTURE, photometric="rgb", compression="jpeg", extratags=[tag]
    )
    if words:
        check_refused(path, words)
    else:
        check_generic_tiff(str(path))


@pytest.mark.parametrize(
    ("axes", "array", "refused"),
    [
        ("CYX", PLANES, "3 grey planes"),
        ("CYX", np.concatenate([PLANES, PLANES[:2]]), "5 grey planes"),
        ("ZYX", PLANES, None),  # focal planes: the first is shown
        ("ZCYX", np.stack([PLANES, PLANES]), "3 grey planes"),
        ("YXS", PICTURE, None),
        ("ZYXS", np.stack([PICTURE, PICTURE]), None),
        ("YX", GREY, None),
    ],
)
def test_ome_says_what_its_planes_are(
    tmp_path: Path, axes: str, array: np.ndarray, refused: str | None
) -> None:
    how = {"photometric": "rgb" if axes.endswith("S") else "minisblack", "metadata": {"axes": axes}}
    path = saved(tmp_path / "a.ome.tif", array, **how)
    if refused:
        check_refused(path, refused)
    else:
        check_generic_tiff(str(path))


def write_pages(path: Path, *pages: tuple[np.ndarray, dict[str, Any]]) -> Path:
    with tifffile.TiffWriter(path) as tiff:
        for array, how in pages:
            photometric = "rgb" if array.ndim == 3 else "minisblack"
            tiff.write(array, **HOW | {"photometric": photometric} | how)
    return path


def test_pages_beside_the_slide_are_no_planes(tmp_path: Path) -> None:
    small = PICTURE[::2, ::2]
    for pages in (
        [(PICTURE, {}), (small, {"subfiletype": 1}), (PICTURE, {})],  # a level, a focal plane
        [(PICTURE, {}), (GREY > 0, {"subfiletype": 4, "tile": None})],  # a transparency mask
        [(GREY, {}), (GREY[::2, ::2], {"subfiletype": 1})],
        [(PICTURE, {}), (GREY, {})],
        [(PICTURE, {}), (small, {"tile": None})],  # a label
    ):
        path = write_pages(tmp_path / "a.tif", *pages)
        check_generic_tiff(str(path))
        assert np.array_equal(seen_by_openslide(path)[..., :3], tifffile.imread(path, key=0)) or (
            pages[0][0].ndim == 2
        )


def test_a_slide_that_is_not_the_first_page_is_refused(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "a.tif", (PICTURE[:128, :128], {}), (PICTURE, {}))
    assert seen_by_openslide(path).shape[:2] == (128, 128)
    check_refused(path, "page 2 is 256 x 256 px")


def test_the_case_of_planes() -> None:
    path = shared("cases/slides/ome_planes/planes.ome.tif")
    assert tifffile.imread(path).shape == (3, 1792, 2048)
    check_refused(path, "3 grey planes of 2048 x 1792 px")


@pytest.mark.parametrize("name", ["data/slides/CMU-1-Small-Region.svs"])
def test_real_slides_pass(name: str) -> None:
    check_generic_tiff(str(shared(name)))


def test_a_damaged_file_is_left_to_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")
    check_generic_tiff(str(tmp_path / "a.tif"))


def check_refused(path: Path, words: str) -> None:
    with pytest.raises(InputError) as raised:
        check_generic_tiff(str(path))
    assert raised.value.kind == "unsupported_slide"
    assert words in raised.value.message
