import cv2
import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beamscope.transforms.slides.sample.texture import TissueTexture
from beamscope.transforms.slides.tissue.detection import find_tissue, outline, tissue_fraction
from tests.shared_data import shared

MPP = 8.0
SHAPE = (120, 160)
GLASS = (244, 242, 243)
PINK = (215, 140, 180)
PALE = (236, 214, 226)
PURPLE = (110, 80, 150)


def slide(background: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.full((*SHAPE, 3), background, np.uint8)


def noisy(rgb: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1.5, rgb.shape)
    return np.rint(rgb + noise).clip(0, 255).astype(np.uint8)


def disc(radius: int = 40, x: int = 80, y: int = 60) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def overlap(mask: np.ndarray, expected: np.ndarray) -> float:
    return float((mask & expected).sum() / (mask | expected).sum())


@pytest.mark.parametrize("glass", [GLASS, (255, 255, 255), (215, 214, 213), (245, 240, 228)])
@pytest.mark.parametrize("stain", [PINK, PALE, PURPLE, (150, 100, 70)])
def test_stained_tissue_on_glass(glass: tuple[int, int, int], stain: tuple[int, int, int]) -> None:
    rgb = slide(glass)
    rgb[disc()] = stain
    found = find_tissue(noisy(rgb), mpp=MPP)
    assert found.method == "saturation"
    assert overlap(found.mask, disc()) > 0.97


def test_pale_tissue_is_kept_beside_dark_tissue() -> None:
    rgb = slide(GLASS)
    rgb[disc(30, 40)], rgb[disc(30, 120)] = PALE, PURPLE
    expected = disc(30, 40) | disc(30, 120)
    assert overlap(find_tissue(noisy(rgb), mpp=MPP).mask, expected) > 0.97


@pytest.mark.parametrize("glass", [GLASS, (255, 255, 255), (230, 230, 230), (245, 240, 228)])
@pytest.mark.parametrize("seed", range(3))
def test_empty_glass_has_no_tissue(glass: tuple[int, int, int], seed: int) -> None:
    assert not find_tissue(noisy(slide(glass), seed), mpp=MPP).mask.any()


@pytest.mark.parametrize("stain", [PINK, PALE, PURPLE])
def test_full_cover_is_all_tissue(stain: tuple[int, int, int]) -> None:
    rgb = slide(stain)
    rgb[disc(20)] = PINK
    assert find_tissue(noisy(rgb), mpp=MPP).mask.mean() > 0.98


@pytest.mark.parametrize("fraction", [0.2, 0.6, 0.95])
def test_black_parts_are_no_tissue(fraction: float) -> None:
    rgb = slide(GLASS)
    rgb[disc()] = PINK
    black = np.zeros(SHAPE, bool)
    black[:, int(160 * (1 - fraction)) :] = True
    # Near black, a few grey levels are a large saturation in the sense of HSV.
    rgb[black] = (6, 0, 3)
    found = find_tissue(noisy(rgb), mpp=MPP)
    assert found.method == "saturation" or fraction == 0.95
    assert not (found.mask & black).any()
    if fraction < 0.9:
        assert overlap(found.mask, disc() & ~black) > 0.95


@pytest.mark.parametrize("fill", [(255, 255, 255), (0, 0, 0), (255, 0, 255), (10, 200, 30)])
@pytest.mark.parametrize("background", [GLASS, (2, 1, 4)])
def test_what_was_not_scanned_plays_no_part(
    fill: tuple[int, int, int], background: tuple[int, int, int]
) -> None:
    bright = background == GLASS
    rgb = slide(background)
    rgb[disc()] = PINK if bright else (5, 10, 140)
    rgb = noisy(rgb)
    scanned = np.ones(SHAPE, bool)
    scanned[:70] = False
    reference = find_tissue(rgb, mpp=MPP, scanned=scanned)
    rgb[:70] = fill
    found = find_tissue(rgb, mpp=MPP, scanned=scanned)
    assert (found.mask == reference.mask).all()
    assert (found.method, found.threshold) == (reference.method, reference.threshold)
    assert not found.mask[:70].any()
    assert overlap(found.mask, disc() & scanned) > (0.95 if bright else 0.8)


@pytest.mark.parametrize("colour", [(0, 0, 160), (0, 120, 0), (90, 90, 90), (140, 20, 60)])
def test_fluorescence_is_told_by_brightness(colour: tuple[int, int, int]) -> None:
    rgb = slide((3, 2, 5))
    dots = disc() & (np.random.default_rng(1).random(SHAPE) < 0.4)
    rgb[dots] = colour
    found = find_tissue(noisy(rgb), mpp=MPP)
    assert found.method == "brightness"
    assert overlap(found.mask, disc()) > 0.8


@pytest.mark.parametrize("value", [0, 3, 10])
def test_a_dark_empty_slide_has_no_tissue(value: int) -> None:
    found = find_tissue(noisy(slide((value, value, value))), mpp=MPP)
    assert found.method == "brightness"
    assert not found.mask.any()


def test_nothing_scanned() -> None:
    found = find_tissue(slide(PINK), mpp=MPP, scanned=np.zeros(SHAPE, bool))
    assert not found.mask.any()


@pytest.mark.parametrize("mpp", [4.0, 8.0, 16.0])
@pytest.mark.parametrize(("diameter_um", "kept"), [(50, False), (160, True)])
def test_small_objects_go_and_small_holes_fill(mpp: float, diameter_um: float, kept: bool) -> None:
    small = disc(max(round(diameter_um / mpp / 2), 1), 140, 20)
    rgb = slide(GLASS)
    rgb[disc(25, 60)] = PINK
    rgb[small] = PINK
    assert find_tissue(rgb, mpp=mpp).mask[small].any() == kept

    rgb = slide(GLASS)
    rgb[disc(50)] = PINK
    hole = disc(max(round(diameter_um / mpp / 2), 1))
    rgb[hole] = GLASS
    assert find_tissue(rgb, mpp=mpp).mask[hole].all() == (not kept)


def test_a_tiny_slide_keeps_its_tissue() -> None:
    rgb = np.full((8, 8, 3), PINK, np.uint8)
    assert find_tissue(rgb, mpp=MPP).mask.all()


def test_glass_of_an_impossible_colour_is_white() -> None:
    # As a DICOM slide looks whose YCbCr is tagged RGB.
    rgb = slide((244, 128, 129))
    rgb[disc()] = (140, 150, 160)
    assert overlap(find_tissue(noisy(rgb), mpp=MPP).mask, disc()) > 0.97


@pytest.mark.parametrize(
    ("shape", "scanned", "mpp"),
    [((8, 8), (8, 8), 8.0), ((8, 8, 4), (8, 8), 8.0), ((8, 8, 3), (8, 9), 8.0),
     ((8, 8, 3), (8, 8), 0.0), ((8, 8, 3), (8, 8), float("nan"))],
)  # fmt: skip
def test_find_tissue_errors(shape: tuple[int, ...], scanned: tuple[int, int], mpp: float) -> None:
    with pytest.raises(ValueError, match=r"thumbnail|fit"):
        find_tissue(np.zeros(shape, np.uint8), mpp=mpp, scanned=np.ones(scanned, bool))


@pytest.mark.parametrize(
    ("islands", "coverage", "low", "high"), [(3, 0.4, 0.25, 0.55), (0, 0.4, 0, 0), (1, 1, 0.99, 1)]
)
def test_sample_slides(islands: int, coverage: float, low: float, high: float) -> None:
    texture = TissueTexture(2048, 2048, 1.0, 0, islands, coverage)
    rgb = np.empty((256, 256, 3), np.uint8)
    for y in range(0, 2048, 1024):
        for x in range(0, 2048, 1024):
            rgb[y // 8 : y // 8 + 128, x // 8 : x // 8 + 128] = cv2.resize(
                texture.draw(x, y, 1024, 1024), (128, 128), interpolation=cv2.INTER_AREA
            )
    assert low <= find_tissue(rgb, mpp=8.0).mask.mean() <= high


# Fractions that a person agreed with, looking at the outline on each slide.
@pytest.mark.parametrize(
    ("name", "mpp", "method", "low", "high"),
    [
        ("CMU-1-Small-Region.svs", 0.499, "saturation", 0.34, 0.40),
        ("cmu1_jp2k_33005_pyr.svs", 0.499, "saturation", 0.34, 0.40),
        ("cmu1_sparse_tiles.svs", 0.499, "saturation", 0.34, 0.40),
        ("cmu1-dicom/level-0-frames-0-30.dcm", 0.499, "saturation", 0.34, 0.42),
        ("tcga-cr-7395-01a-01-ts1.svs", 0.5, "saturation", 0.60, 0.67),
        ("tcga_generic_pyramid_mpp0.5.tiff", 0.5, "saturation", 0.60, 0.67),
        ("test3-DAPI-2-(387).ndpi", 0.228, "brightness", 0.55, 0.72),
    ],
)
def test_real_slides(name: str, mpp: float, method: str, low: float, high: float) -> None:
    opened = openslide.OpenSlide(shared(f"data/slides/{name}"))
    width, height = opened.dimensions
    level = opened.get_best_level_for_downsample(MPP / mpp)
    rgba = np.asarray(opened.read_region((0, 0), level, opened.level_dimensions[level]))
    size = (round(width * mpp / MPP), round(height * mpp / MPP))
    rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    rgb = np.minimum(rgba[..., :3] + (255.0 - rgba[..., 3:]), 255).astype(np.uint8)
    found = find_tissue(rgb, mpp=MPP, scanned=rgba[..., 3] > 127)
    assert found.method == method
    assert low < found.mask.mean() < high


masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8))


@given(
    masks,
    st.lists(
        st.tuples(
            st.floats(-3, 10), st.floats(-3, 10), st.floats(0.01, 12), st.floats(0.01, 12)
        ),
        max_size=5,
    ),
)  # fmt: skip
def test_fraction_is_that_of_an_exact_sum(
    mask: np.ndarray, rectangles: list[tuple[float, float, float, float]]
) -> None:
    columns = np.array(rectangles, float).reshape(-1, 4).T
    found = tissue_fraction(mask, *columns)
    assert found.dtype == np.float32
    assert found.shape == (len(rectangles),)
    for (x, y, width, height), fraction in zip(rectangles, found, strict=True):
        covered = 0.0
        for row, column in np.argwhere(mask):
            wide = min(x + width, column + 1) - max(x, column)
            high = min(y + height, row + 1) - max(y, row)
            covered += max(wide, 0) * max(high, 0)
        # The integral image is exact to some 1e-14 of the mask's area, not of the rectangle's.
        area = width * height
        assert fraction == pytest.approx(covered / area, abs=1e-6 + 1e-12 / area)


def test_fraction_broadcasts() -> None:
    mask = np.zeros((4, 6), bool)
    mask[:, :3] = True
    found = tissue_fraction(mask, np.arange(4.0)[None, :], np.arange(2.0)[:, None], 2.0, 2.0)
    np.testing.assert_array_equal(found, [[1, 1, 0.5, 0]] * 2)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_fraction_errors(width: float, height: float) -> None:
    with pytest.raises(ValueError, match="wider"):
        tissue_fraction(np.ones((2, 2), bool), [0.0], [0.0], [width], [height])


def test_outline_draws_objects_and_holes() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10:60, 10:60] = True
    mask[20:40, 20:40] = False
    mask[80:90, 80:90] = True
    contours = outline(mask)
    assert len(contours) == 3
    assert all(contour.dtype == np.int32 and contour.shape[1] == 2 for contour in contours)
    filled = np.zeros(SHAPE, np.uint8)
    cv2.fillPoly(filled, contours, 1)
    assert abs(int(filled.sum()) - int(mask.sum())) < 100
    assert outline(np.zeros(SHAPE, bool)) == []
