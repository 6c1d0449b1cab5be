"""Mask images of every kind, against the array that was saved."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.tissue import mask_tiff
from beamscope.transforms.slides.tissue.mask_image import read_mask_image
from tests.shared_data import shared

TISSUE = np.zeros((64, 96), bool)
TISSUE[16:48, 32:80] = True
GREY = TISSUE.astype(np.uint8)
WHITE = GREY * 255
COLOUR = np.stack([GREY * 0, GREY * 3, GREY * 0], axis=2)
LABELS = (GREY * (1 + np.arange(96) // 40)).astype(np.uint8)  # 1, 2, 3 side by side


def palette(*colours: tuple[int, int, int], values: np.ndarray = GREY) -> Image.Image:
    image = Image.fromarray(values, "P")
    image.putpalette([sample for colour in colours for sample in colour])
    return image


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(1, 256, (64, 96, 3), dtype=np.uint8))


BLACK, RED, ALL = (0, 0, 0), (200, 0, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("m.png", Image.fromarray(TISSUE)),
        ("m.png", Image.fromarray(GREY)),
        ("m.png", Image.fromarray(LABELS)),
        ("m.png", Image.fromarray(GREY.astype(np.uint16) * 300)),
        ("m.png", Image.fromarray(COLOUR)),
        ("m.png", Image.fromarray(np.dstack([COLOUR, np.full_like(GREY, 255)]))),
        ("m.png", Image.fromarray(np.dstack([COLOUR, GREY]))),
        ("m.png", Image.fromarray(np.dstack([np.full_like(COLOUR, 9), GREY]))),
        ("m.bmp", Image.fromarray(WHITE)),
        # Index 0 is the background, whatever its colour.
        ("m.png", palette(BLACK, RED)),
        ("m.png", palette(ALL, RED)),
        ("m.png", palette(ALL, BLACK)),
        ("m.png", palette((0, 80, 0), ALL)),
        ("m.png", palette(ALL, RED, BLACK, ALL, values=LABELS)),
        ("m.tif", palette(ALL, RED)),
        ("m.bmp", palette(ALL, RED)),
    ],
)
def test_lossless_pixels(tmp_path: Path, name: str, image: Image.Image) -> None:
    image.save(tmp_path / name)
    found = read_mask_image(tmp_path / name)
    assert (found.pixels == TISSUE).all()
    assert (found.width, found.height) == (96, 64)


def test_16_bit_colours_keep_small_values(tmp_path: Path) -> None:
    # Pillow, which keeps the upper 8 bits of 16, would see no tissue.
    (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(COLOUR.astype(np.uint16)))
    assert (read_mask_image(tmp_path / "m.png").pixels == TISSUE).all()


@pytest.mark.parametrize("saved", [{"transparency": 0}, {"transparency": 2}])
def test_transparent_indices_are_background(tmp_path: Path, saved: dict[str, int]) -> None:
    image = palette(ALL, RED, (0, 0, 90), (0, 90, 0), values=LABELS)
    image.save(tmp_path / "m.png", **saved)
    wanted = TISSUE & (saved["transparency"] != LABELS)
    assert (read_mask_image(tmp_path / "m.png").pixels == wanted).all()


def test_a_transparent_grey_is_background(tmp_path: Path) -> None:
    Image.fromarray(LABELS + 5).save(tmp_path / "m.png", transparency=5)
    assert (read_mask_image(tmp_path / "m.png").pixels == TISSUE).all()


@pytest.mark.parametrize(
    "image",
    [
        palette((0, 80, 0), BLACK),
        # As Pillow reduces a colour mask to a palette: the tissue's colour comes first.
        Image.fromarray(COLOUR * 80).quantize(4),
    ],
)
def test_ambiguous_palette_errors(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "m.png")
    check_bad(tmp_path / "m.png", "index 0, the background, is the colour (0, ")


BLOB = WHITE.repeat(4, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("m.jpg", {"quality": 75}),
        ("m.jpg", {"quality": 30}),
        ("m.jpeg", {}),
        ("m.webp", {"quality": 50}),
        ("m.webp", {"lossless": True}),
        # The content decides, not the ending.
        ("m.png", {"format": "JPEG", "quality": 50}),
        ("m.png", {"format": "WEBP", "quality": 50}),
        ("m.tif", {"compression": "jpeg", "quality": 50}),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossy_pixels_are_cut_at_half(
    tmp_path: Path, name: str, arguments: dict[str, object], mode: str
) -> None:
    Image.fromarray(BLOB).convert(mode).save(tmp_path / name, **arguments)
    found = read_mask_image(tmp_path / name)
    assert (found.pixels != (BLOB > 127)).mean() < 0.003


@pytest.mark.parametrize("lossless", [False, True])
def test_webp_in_tiff(tmp_path: Path, lossless: bool) -> None:
    array = np.dstack([BLOB if not lossless else BLOB // 255] * 3)
    how = {"level": 50, "lossless": lossless}
    tifffile.imwrite(
        tmp_path / "m.tif", array, photometric="rgb", compression="webp", compressionargs=how
    )
    found = read_mask_image(tmp_path / "m.tif")
    assert (found.pixels != (BLOB > 127)).mean() < (1e-9 if lossless else 0.003)


def test_values_between_count_in_a_lossless_webp(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "m.webp", lossless=True, exact=True)
    assert (read_mask_image(tmp_path / "m.webp").pixels == TISSUE).all()


# What tifffile, scikit-image and others write: arrays, and how.
SAVED = [
    (TISSUE, {}),
    (TISSUE, {"compression": "deflate"}),
    (TISSUE, {"photometric": "minisblack"}),
    (TISSUE, {"photometric": "miniswhite"}),
    (WHITE, {"photometric": "miniswhite"}),  # ImageJ, with its inverting table
    (WHITE, {"compression": "lzw", "tile": (32, 32)}),
    (WHITE, {"compression": "packbits", "rowsperstrip": 7}),
    (WHITE, {"compression": "zstd", "predictor": True}),
    (WHITE, {"compression": "png"}),
    (LABELS, {"compression": "deflate", "tile": (16, 48)}),
    (LABELS.astype(np.uint16) * 300, {"byteorder": ">"}),
    (LABELS.astype(np.int32), {}),
    (LABELS.astype(np.float32), {}),
    (COLOUR, {"photometric": "rgb"}),
    (np.moveaxis(COLOUR, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    (np.dstack([COLOUR, WHITE]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    (np.dstack([COLOUR + 9, WHITE]), {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    (LABELS, {"photometric": "palette", "colormap": np.full((3, 256), 65535, np.uint16)}),
    (WHITE, {"bigtiff": True, "compression": "lzw"}),
]


@pytest.mark.parametrize(("array", "how"), SAVED)
def test_tiff_is_read_as_it_was_saved(
    tmp_path: Path, array: np.ndarray, how: dict[str, object]
) -> None:
    tifffile.imwrite(tmp_path / "m.tif", array, **how)
    found = read_mask_image(tmp_path / "m.tif")
    assert (found.pixels == TISSUE).all()
    # As tifffile itself reads it back.
    saved = tifffile.imread(tmp_path / "m.tif")
    assert saved.shape == array.shape
    assert (saved == array).all()


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_ccitt", "tiff_lzw"])
def test_one_bit_tiff_of_pillow(tmp_path: Path, compression: str | None) -> None:
    Image.fromarray(TISSUE).save(tmp_path / "m.tif", compression=compression)
    assert (read_mask_image(tmp_path / "m.tif").pixels == TISSUE).all()


def test_white_is_zero_counts_in_fax_compression(tmp_path: Path) -> None:
    # As ImageMagick and scanners save a white tissue on black: bits are the ink.
    Image.fromarray(~TISSUE).save(tmp_path / "m.tif", compression="group4")
    with tifffile.TiffFile(tmp_path / "m.tif", mode="r+") as tiff:
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(0)
    # Pillow, as libtiff, shows what the tag says.
    assert (np.asarray(Image.open(tmp_path / "m.tif")) == TISSUE).all()
    assert (read_mask_image(tmp_path / "m.tif").pixels == TISSUE).all()


@pytest.mark.parametrize(
    ("array", "how", "words"),
    [
        (np.stack([WHITE] * 3), {"photometric": "minisblack"}, "3 planes of 96 x 64 px"),
        (COLOUR, {"photometric": "minisblack", "planarconfig": "contig"}, "3 samples"),
        (np.dstack([COLOUR, WHITE]), {"photometric": "rgb", "extrasamples": [0]}, "4 samples"),
        (np.dstack([COLOUR, WHITE]), {"photometric": "separated"}, "SEPARATED"),
        (COLOUR, {"photometric": "ycbcr", "compression": "lzw"}, "YCBCR"),
        (WHITE, {"compression": "jpegxl"}, "JPEGXL"),
        (WHITE, {"compression": "jpeg2000"}, "JPEG2000"),
        (WHITE.astype(np.complex64), {}, "complex64"),
    ],
)
def test_tiff_errors(tmp_path: Path, array: np.ndarray, how: dict[str, object], words: str) -> None:
    tifffile.imwrite(tmp_path / "m.tif", array, **how)
    check_bad(tmp_path / "m.tif", words)


def write_pyramid(path: Path, levels: list[np.ndarray], *, subifds: bool, **how: object) -> Path:
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, level in enumerate(levels):
            tiff.write(
                level,
                subifds=len(levels) - 1 if subifds and not number else None,
                subfiletype=1 if number else 0,
                **{"tile": (64, 64), "compression": "deflate", "metadata": None} | how,
            )
    return path


def halves(array: np.ndarray, count: int, *, averaged: bool) -> list[np.ndarray]:
    levels = [array]
    for _ in range(count - 1):
        array = levels[-1]
        if averaged:
            cells = array.reshape(array.shape[0] // 2, 2, array.shape[1] // 2, 2)
            levels.append(np.rint(cells.mean(axis=(1, 3))).astype(array.dtype))
        else:
            levels.append(array[::2, ::2])
    return levels


def blob(height: int, width: int) -> np.ndarray:
    y, x = np.ogrid[:height, :width]
    return (x / width - 0.5) ** 2 / 0.04 + (y / height - 0.5) ** 2 / 0.09 < 1


@pytest.mark.parametrize("subifds", [False, True])
@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_pyramid_is_read_at_a_level_that_suffices(
    tmp_path: Path,
    subifds: bool,
    averaged: bool,
    photometric: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mask_tiff, "MANY_PIXELS", 1 << 16)
    full = blob(1024, 1536).astype(np.uint8) * 255
    path = write_pyramid(
        tmp_path / "m.tif",
        halves(full, 4, averaged=averaged),
        subifds=subifds,
        photometric=photometric,
    )
    found = read_mask_image(path, (150, 100))
    assert found.pixels.shape == (128, 192)
    assert found.pixels.mean() == pytest.approx((full > 0).mean(), rel=0.01)
    # Nothing is coarser than what suffices; and a small mask is read as it is.
    assert read_mask_image(path, (200, 130)).pixels.shape == (256, 384)
    monkeypatch.setattr(mask_tiff, "MANY_PIXELS", 1 << 26)
    assert (read_mask_image(path, (150, 100)).pixels == (full > 0)).all()


@pytest.mark.parametrize("subifds", [False, True])
def test_labels_of_a_pyramid_are_no_shades(
    tmp_path: Path, subifds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_tiff, "MANY_PIXELS", 1 << 16)
    full = blob(1024, 1536) * (1 + np.arange(1536) // 400).astype(np.uint8)
    levels = halves(full, 4, averaged=False)
    path = write_pyramid(tmp_path / "m.tif", levels, subifds=subifds)
    assert (read_mask_image(path, (150, 100)).pixels == (levels[3] > 0)).all()


def test_a_huge_mask_is_never_decoded_as_a_whole(tmp_path: Path) -> None:
    # 100,000 x 80,000 px, of which level 0 has not one tile that could be decoded.
    small = blob(1250, 1563).astype(np.uint8) * 255
    path = tmp_path / "m.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(
            iter([b"no tile"] * (25 * 20)), shape=(80_000, 100_000), dtype=np.uint8,
            tile=(4096, 4096), compression="deflate", subifds=1, metadata=None,
        )  # fmt: skip
        tiff.write(small, subfiletype=1, tile=(512, 512), compression="deflate", metadata=None)
    found = read_mask_image(path, (1500, 1200))
    assert (found.pixels == (small > 0)).all()


@pytest.mark.parametrize(
    "how",
    [
        {"tile": (64, 48), "compression": "lzw"},
        {"rowsperstrip": 11, "compression": "lzw"},
        {},
        {"photometric": "miniswhite"},
    ],
)
@pytest.mark.parametrize("shape", [(200, 300), (203, 311)])
def test_a_large_page_is_averaged_down_piece_by_piece(
    tmp_path: Path,
    how: dict[str, object],
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mask_tiff, "MANY_PIXELS", 1000)
    monkeypatch.setattr(mask_tiff, "_ROWS_PIXELS", 5000)
    full = np.random.default_rng(0).integers(0, 2, shape, np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", full, **how)
    found = read_mask_image(tmp_path / "m.tif", (60, 40))
    assert (found.width, found.height) == (shape[1] / 5, shape[0] / 5)
    padded = np.full((-(-shape[0] // 5) * 5, -(-shape[1] // 5) * 5), np.nan)
    padded[: shape[0], : shape[1]] = full
    cells = padded.reshape(padded.shape[0] // 5, 5, padded.shape[1] // 5, 5)
    np.testing.assert_allclose(found.pixels, np.nanmean(cells, axis=(1, 3)), atol=1e-6)


@pytest.mark.parametrize("name", ["blob.jpg", "blob_jpeg.tif", "blob_jpeg_rgb.tif"])
def test_compressed_as_jpeg_or_not_is_the_same(name: str) -> None:
    folder = shared("cases/slides/jpeg_in_tiff_mask")
    expected = np.asarray(Image.open(folder / "blob.png")) > 0
    assert (read_mask_image(folder / name).pixels == expected).all()


def test_the_smaller_level_of_a_jpeg_pyramid() -> None:
    folder = shared("cases/slides/jpeg_in_tiff_mask")
    expected = np.asarray(Image.open(folder / "blob.png")) > 0
    assert (read_mask_image(folder / "blob_jpeg_pyr.tif", (256, 224)).pixels == expected).all()


@pytest.mark.parametrize("name", ["qupath_indexed.png", "black_indexed.png"])
def test_labelled_images_of_qupath(name: str) -> None:
    path = shared("cases/slides/qupath_indexed_mask") / name
    assert (read_mask_image(path).pixels == (np.asarray(Image.open(path)) == 1)).all()


@pytest.mark.parametrize("name", ["m.png", "m.tif"])
@pytest.mark.parametrize("cut", [0, 3, 20, 60, 400])
def test_cut_files_error(tmp_path: Path, name: str, cut: int) -> None:
    path = tmp_path / name
    Image.fromarray(np.random.default_rng(0).integers(0, 2, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    check_bad(path, "no readable image")


def test_a_picture_is_no_mask_errors(tmp_path: Path) -> None:
    picture().save(tmp_path / "m.png")
    check_bad(tmp_path / "m.png", "a picture, not a mask")


def test_an_unknown_form_errors(tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "m.png", format="JPEG2000")
    check_bad(tmp_path / "m.png", "is JPEG2000; save the mask as PNG")


def test_a_bomb_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(TISSUE).save(tmp_path / "m.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    check_bad(tmp_path / "m.png", "too large")


@pytest.mark.filterwarnings("error")
def test_a_large_image_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(TISSUE).save(tmp_path / "m.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    assert (read_mask_image(tmp_path / "m.png").pixels == TISSUE).all()


def check_bad(path: Path, words: str) -> None:
    with pytest.raises(InputError) as raised:
        read_mask_image(path)
    assert raised.value.kind == "bad_mask"
    assert words in raised.value.message
    assert path.name in raised.value.message
    assert "\n" not in raised.value.message
