import dataclasses
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.sample.texture import TissueTexture
from beamscope.transforms.slides.sample.tiles import split_tables

SMALL = SampleSlide(width=1100, height=900, levels=2)


def opened(path: Path, slide: SampleSlide) -> openslide.OpenSlide:
    write_sample_slide(path, slide)
    return openslide.OpenSlide(path)


def pixels(slide: openslide.OpenSlide, level: int = 0) -> np.ndarray:
    rgba = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    assert (rgba[..., 3] == 255).all()
    return rgba[..., :3]


@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        ({}, [(1100, 900), (275, 225)]),
        ({"levels": 1}, [(1100, 900)]),
        ({"levels": 3}, [(1100, 900), (275, 225), (68, 56)]),
        ({"levels": 4, "level_factor": 2}, [(1100, 900), (550, 450), (275, 225), (137, 112)]),
        ({"tile_size": 240, "width": 2047}, [(2047, 900), (511, 225)]),
        ({"width": 300, "height": 1700, "mpp": 0.5}, [(300, 1700), (75, 425)]),
        ({"width": 40, "height": 30, "levels": 1}, [(40, 30)]),
        ({"compression": "jpeg2000"}, [(1100, 900), (275, 225)]),
    ],
)
def test_openslide_reads(
    tmp_path: Path, changes: dict[str, int], levels: list[tuple[int, int]]
) -> None:
    spec = dataclasses.replace(SMALL, **changes)
    slide = opened(tmp_path / "s.svs", spec)
    assert slide.properties["openslide.vendor"] == "aperio"
    assert list(slide.level_dimensions) == levels
    assert float(slide.properties["openslide.mpp-x"]) == spec.mpp
    assert float(slide.properties["openslide.mpp-y"]) == spec.mpp
    assert slide.properties["openslide.objective-power"] == "40"
    assert slide.properties["openslide.level[0].tile-width"] == str(spec.tile_size)
    assert set(slide.associated_images) == {"thumbnail"}
    for level in range(len(levels)):
        assert pixels(slide, level).shape == (*levels[level][::-1], 3)


@pytest.mark.parametrize(
    ("mpp", "objective_power"), [(None, None), (None, 20.0), (0.2278, None), (99.0, 40.0)]
)
def test_scale_in_the_file(
    tmp_path: Path, mpp: float | None, objective_power: float | None
) -> None:
    spec = dataclasses.replace(SMALL, mpp=mpp, objective_power=objective_power)
    found = opened(tmp_path / "s.svs", spec).properties
    assert found["openslide.vendor"] == "aperio"
    assert found.get("openslide.mpp-x") == (None if mpp is None else f"{mpp:g}")
    power = found.get("openslide.objective-power")
    assert power == (None if objective_power is None else f"{objective_power:g}")


def test_tiff_is_laid_out_as_a_scanner_does(tmp_path: Path) -> None:
    write_sample_slide(tmp_path / "s.svs", SMALL)
    with tifffile.TiffFile(tmp_path / "s.svs") as tiff:
        assert [page.is_tiled for page in tiff.pages] == [True, False, True]
        for page in (tiff.pages[0], tiff.pages[2]):
            assert page.photometric == tifffile.PHOTOMETRIC.YCBCR
            assert page.subsampling == (2, 2)
            assert page.jpegtables[:2] == b"\xff\xd8"
            # Tables once in the tag, in no tile.
            tiff.filehandle.seek(page.dataoffsets[0])
            tile = tiff.filehandle.read(page.databytecounts[0])
            assert b"\xff\xdb" not in tile[:20]
            assert split_tables(tile)[0] == b"\xff\xd8\xff\xd9"


def test_the_seed_decides(tmp_path: Path) -> None:
    first = pixels(opened(tmp_path / "1.svs", SMALL))
    again = pixels(opened(tmp_path / "2.svs", SMALL))
    other = pixels(opened(tmp_path / "3.svs", dataclasses.replace(SMALL, seed=1)))
    assert (first == again).all()
    assert (first != other).mean() > 0.3
    assert (tmp_path / "1.svs").read_bytes() == (tmp_path / "2.svs").read_bytes()


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("coverage", [0.4, 1])
def test_pixels_do_not_depend_on_tiles(mpp: float, coverage: float) -> None:
    texture = TissueTexture(960, 960, mpp, seed=5, islands=2, coverage=coverage)
    whole = texture.draw(0, 0, 960, 960)
    for size in (240, 320, 960 // 4 * 2, 16 * 12):
        for y in range(0, 960, size):
            for x in range(0, 960, size):
                tile = texture.draw(x, y, size, size)
                expected = whole[y : y + size, x : x + size]
                assert (tile[: len(expected), : expected.shape[1]] == expected).all()


@pytest.mark.parametrize(("compression", "limit"), [("jpeg", 6.0), ("jpeg2000", 5.0)])
def test_the_file_holds_what_is_drawn(tmp_path: Path, compression: str, limit: float) -> None:
    spec = dataclasses.replace(SMALL, compression=compression, coverage=1)
    drawn = TissueTexture(1100, 900, 0.25, spec.seed, spec.islands, 1).draw(0, 0, 1024, 896)
    read = pixels(opened(tmp_path / "s.svs", spec))[:896, :1024]
    assert np.abs(read.astype(float) - drawn).mean() < limit
    assert np.abs((read.astype(float) - drawn).mean()) < 0.5


@pytest.mark.parametrize(
    ("tile_size", "factor", "levels"), [(256, 4, 3), (240, 4, 3), (256, 2, 4), (64, 8, 2)]
)
def test_lower_levels_are_area_averages(
    tmp_path: Path, tile_size: int, factor: int, levels: int
) -> None:
    spec = SampleSlide(
        width=1500, height=1300, tile_size=tile_size, level_factor=factor, levels=levels, seed=2,
        quality=95,
    )  # fmt: skip
    slide = opened(tmp_path / "s.svs", spec)
    base = pixels(slide).astype(float)
    for level in range(1, levels):
        width, height = slide.level_dimensions[level]
        n = factor**level
        blocks = base[: height * n, : width * n].reshape(height, n, width, n, 3)
        difference = pixels(slide, level) - blocks.mean(axis=(1, 3))
        assert np.abs(difference).mean() < 3
        assert np.abs(difference.mean()) < 0.5
        # No tile is out of place: none differs more than compression explains.
        assert cv2.blur(np.abs(difference).mean(axis=-1), (8, 8)).max() < 12


@pytest.mark.parametrize(("width", "height", "shown"), [
    (1500, 1300, (886, 768)), (2048, 300, (1024, 150)), (500, 400, (500, 400)),
])  # fmt: skip
def test_thumbnail_shows_the_slide(
    tmp_path: Path, width: int, height: int, shown: tuple[int, int]
) -> None:
    slide = opened(tmp_path / "s.svs", SampleSlide(width=width, height=height, levels=1))
    thumbnail = np.asarray(slide.associated_images["thumbnail"].convert("RGB"))
    assert thumbnail.shape[1::-1] == shown
    expected = cv2.resize(pixels(slide), shown, interpolation=cv2.INTER_AREA)
    assert np.abs(thumbnail.astype(float) - expected).mean() < 6


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("coverage", "low", "high"), [(0.2, 0.08, 0.35), (0.4, 0.2, 0.6)])
def test_some_is_tissue(seed: int, coverage: float, low: float, high: float) -> None:
    texture = TissueTexture(2048, 1536, 2.0, seed, 3, coverage)
    drawn = [texture.draw(x, y, 512, 512) for y in range(0, 1536, 512) for x in range(0, 2048, 512)]
    blurred = [cv2.blur(tile, (15, 15)) for tile in drawn]
    chroma = np.stack([tile.max(axis=2) - tile.min(axis=2) for tile in blurred])
    assert low < (chroma > 15).mean() < high


def test_bare_glass_and_full_cover() -> None:
    glass = TissueTexture(1024, 1024, 0.25, 0, islands=0, coverage=0.4).draw(0, 0, 1024, 1024)
    assert glass.min() > 225
    assert 0.5 < glass.std(axis=(0, 1)).min() < 3
    full = TissueTexture(4096, 4096, 1.0, 0, islands=1, coverage=1).draw(1024, 1024, 1024, 1024)
    stained = cv2.blur(full, (31, 31)).min(axis=2) < 225
    assert stained.mean() > 0.97


def test_colours_are_those_of_h_and_e() -> None:
    full = TissueTexture(1024, 1024, 0.5, 0, islands=1, coverage=1).draw(0, 0, 1024, 1024)
    red, green, blue = cv2.blur(full, (3, 3)).reshape(-1, 3).T.astype(int)
    nuclei = green < 100
    assert 0.02 < nuclei.mean() < 0.4
    assert (blue[nuclei] > red[nuclei]).mean() > 0.9, "nuclei are blue to purple"
    stroma = (green > 130) & (green < 200)
    assert (red[stroma] > green[stroma] + 10).mean() > 0.9, "stroma is pink"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 0}, "width=0"),
        ({"height": -5}, "height=-5"),
        ({"tile_size": 250}, "tile_size=250"),
        ({"tile_size": 2048}, "tile_size=2048"),
        ({"compression": "lzw"}, "compression=lzw"),
        ({"quality": 0}, "quality=0"),
        ({"quality": 101}, "quality=101"),
        ({"levels": 0}, "levels=0"),
        ({"levels": 5}, "levels=5"),
        ({"levels": 10**9}, "levels=1000000000"),
        ({"level_factor": 3}, "level_factor=3"),
        ({"mpp": 0.0}, "mpp=0.0"),
        ({"mpp": float("nan")}, "mpp=nan"),
        ({"objective_power": -20.0}, "objective_power=-20"),
        ({"seed": -1}, "seed=-1"),
        ({"islands": -1}, "islands=-1"),
        ({"coverage": 0.0}, "coverage=0.0"),
    ],
)
def test_sample_errors(tmp_path: Path, changes: dict[str, float], named: str) -> None:
    with pytest.raises(InputError) as raised:
        write_sample_slide(tmp_path / "s.svs", dataclasses.replace(SMALL, **changes))
    assert raised.value.kind == "bad_sample"
    assert named in raised.value.message
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(TissueTexture, "draw", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sample_slide(tmp_path / "s.svs", SMALL)
    assert not list(tmp_path.iterdir())
