import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.tissue.masks import ImageMask, PolygonMask, find_mask, read_mask


def square(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]


def feature(kind: str, coordinates: Any) -> dict[str, Any]:
    # As QuPath 0.5 exports an annotation.
    return {
        "type": "Feature",
        "id": "4c1a5d0e-6f1c-4b57-9f0c-2b0d6a1b2c3d",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", "classification": {"name": "Tissue"}},
    }


RING = feature("Polygon", [square(100, 200, 400, 200), square(200, 200, 100, 100)])
TWO = feature("MultiPolygon", [[square(0, 0, 100, 100)], [square(900, 700, 100, 100)]])
POINT = feature("Point", [5, 5])
LINE = feature("LineString", [[5, 5], [9, 9]])
EMPTY = {"type": "Feature", "geometry": None, "properties": {}}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def write(path: Path, document: Any) -> Path:
    data = json.dumps(document).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(
    ("document", "area"),
    [
        (collection(RING), 70_000),
        (collection(TWO), 20_000),
        (collection(RING, TWO), 90_000),
        (RING, 70_000),
        (RING["geometry"], 70_000),
        ([RING, TWO], 90_000),
        (collection(POINT, RING, LINE, EMPTY), 70_000),
        (
            {
                "type": "Feature",
                "geometry": {
                    "type": "GeometryCollection",
                    "geometries": [POINT["geometry"], TWO["geometry"]],
                },
            },
            20_000,
        ),
        # The second fills the hole of the first, and overlaps it.
        (collection(RING, feature("Polygon", [square(150, 200, 150, 100)])), 80_000),
        (collection(feature("Polygon", [[[0, 0, 7], [100, 0, 7], [100, 100, 7]]])), 5_000),
    ],
)
@pytest.mark.parametrize("name", ["m.geojson", "m.geojson.gz", "m.json", "M.GEOJSON"])
def test_geojson_area(tmp_path: Path, name: str, document: Any, area: int) -> None:
    mask = read_mask(write(tmp_path / name, document))
    raster = mask.rasterize((800, 1000), extent_level0=(1000, 800))
    # A pixel on a diagonal counts when half of it is covered.
    assert raster.sum() == pytest.approx(area, abs=60)


@pytest.mark.parametrize(
    ("shape", "extent", "origin", "bounds", "box"),
    [
        ((80, 100), (1000, 800), (0, 0), None, (10, 20, 50, 40)),
        ((80, 100), (1000, 800), (100, 200), None, (0, 0, 40, 20)),
        ((80, 100), (1000, 800), (0, 0), (300, 100, 500, 400), (40, 30, 80, 50)),
        ((80, 100), (1000, 800), (300, 100), (300, 100, 1000, 800), (10, 20, 50, 40)),
        ((40, 100), (1000, 800), (0, 0), None, (10, 10, 50, 20)),
    ],
)
def test_polygons_lie_where_qupath_drew_them(
    shape: tuple[int, int],
    extent: tuple[int, int],
    origin: tuple[int, int],
    bounds: tuple[int, int, int, int] | None,
    box: tuple[int, int, int, int],
) -> None:
    mask = PolygonMask(((np.array(square(100, 200, 400, 200)),),))
    found = mask.rasterize(shape, extent_level0=extent, origin_level0=origin, bounds=bounds)
    left, top, right, bottom = box
    expected = np.zeros(shape, bool)
    expected[top:bottom, left:right] = True
    assert (found == expected).all()


@given(
    st.floats(-500, 1500), st.floats(-500, 1500), st.floats(20, 900), st.floats(20, 900),
    st.integers(20, 200), st.integers(20, 200),
)  # fmt: skip
def test_rectangles_cover_their_area(
    x: float, y: float, width: float, height: float, h: int, w: int
) -> None:
    mask = PolygonMask(((np.array(square(x, y, width, height)),),))
    found = mask.rasterize((h, w), extent_level0=(1000, 800)).mean() * 1000 * 800
    wide = max(min(x + width, 1000) - max(x, 0), 0)
    high = max(min(y + height, 800) - max(y, 0), 0)
    # Each side is off by at most half a pixel.
    slack = (wide + 1000 / w) * (high + 800 / h) - wide * high
    assert abs(found - wide * high) <= slack


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no readable GeoJSON"),
        (b"<html>", "no readable GeoJSON"),
        (b"\xff\xfe\x00", "no readable GeoJSON"),
        (b"[" * 100_000, "no readable GeoJSON"),
        (b"{}", "no FeatureCollection"),
        (b"3", "no FeatureCollection"),
        (b"[]", "no polygon, no features"),
        (b'{"type": "FeatureCollection"}', "no list of features"),
        (b'{"type": "FeatureCollection", "features": {}}', "no list of features"),
        (b"[4]", "feature 1 is 4"),
    ],
)
def test_geojson_text_errors(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "m.geojson").write_bytes(text)
    check_bad(tmp_path / "m.geojson", words)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (feature("Polygon", None), "polygon without rings: None"),
        (feature("Polygon", []), "polygon without rings: []"),
        (feature("Polygon", [[[0, 0], [1, 1]]]), "fewer than 3 points"),
        (feature("Polygon", [5]), "fewer than 3 points: 5"),
        (feature("Polygon", [[[0, 0], [1, "x"], [1, 1]]]), "point [1, 'x']"),
        (feature("Polygon", [[[0, 0], [1], [1, 1]]]), "point [1]"),
        (feature("Polygon", [[[0, 0], [1, True], [1, 1]]]), "point [1, True]"),
        (feature("Polygon", [[[0, 0], [1, float("nan")], [1, 1]]]), "point [1, nan]"),
        (feature("Polygon", [[[0, 0], [1, 10**400], [1, 1]]]), "point [1, 1000"),
        (feature("Polygon", [[[0, 0], [1e300, 1], [1, 1]]]), "point [1e+300, 1]"),
        (feature("MultiPolygon", 7), "coordinates 7"),
        (feature("MultiPolygon", [7]), "polygon without rings: 7"),
        ({"type": "Feature", "geometry": 7}, "geometry 7"),
        ({"type": "Feature", "geometry": {"type": 3}}, "geometry {'type': 3}"),
        ({"type": "Feature", "geometry": {"type": "GeometryCollection"}}, "without geometries"),
    ],
)
def test_geojson_feature_errors(tmp_path: Path, bad: dict[str, Any], words: str) -> None:
    path = write(tmp_path / "m.geojson", collection(RING, bad))
    check_bad(path, words)
    check_bad(path, "feature 2 ")


def test_geojson_without_polygons_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "m.geojson", collection(POINT, LINE, LINE))
    check_bad(path, "no polygon, only LineString, Point")


def test_truncated_gzip_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "m.geojson.gz", collection(RING))
    path.write_bytes(path.read_bytes()[:-20])
    check_bad(path, "no readable GeoJSON")


def check_bad(path: Path, words: str, kind: str = "bad_mask") -> None:
    with pytest.raises(InputError) as raised:
        read_mask(path)
    assert raised.value.kind == kind
    assert words in raised.value.message
    assert path.name in raised.value.message
    assert "\n" not in raised.value.message


TISSUE = np.zeros((40, 60), bool)
TISSUE[10:30, 20:50] = True
GREY = TISSUE.astype(np.uint8)
COLOUR = np.stack([GREY * 0, GREY * 3, GREY * 0], axis=2)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("m.png", Image.fromarray(TISSUE)),
        ("m.png", Image.fromarray(GREY)),
        ("m.png", Image.fromarray(GREY.astype(np.uint16) * 300)),
        ("m.tif", Image.fromarray(TISSUE)),
        ("m.tiff", Image.fromarray(GREY.astype(np.float32))),
        ("m.png", Image.fromarray(COLOUR)),
        ("m.png", Image.fromarray(np.dstack([COLOUR, np.full_like(GREY, 255)]))),
        ("m.png", Image.fromarray(np.dstack([COLOUR, GREY]))),
        ("m.png", Image.fromarray(np.dstack([np.full_like(COLOUR, 9), GREY]))),
        ("m.png", Image.fromarray(COLOUR * 80).quantize(4)),
        ("m.jpg", Image.fromarray(GREY * 255)),
        ("M.JPG", Image.fromarray(COLOUR * 80)),
    ],
)
def test_image_pixels(tmp_path: Path, name: str, image: Image.Image) -> None:
    image.save(tmp_path / name)
    mask = read_mask(tmp_path / name)
    assert isinstance(mask, ImageMask)
    assert (mask.pixels != TISSUE).mean() < (0.01 if name.lower().endswith("jpg") else 1e-9)


@pytest.mark.parametrize(
    ("shape", "extent", "origin", "bounds", "slide", "box"),
    [
        ((40, 60), (6000, 4000), (0, 0), None, None, (20, 10, 50, 30)),
        ((20, 30), (6000, 4000), (0, 0), None, None, (10, 5, 25, 15)),
        ((80, 120), (6000, 4000), (0, 0), None, None, (40, 20, 100, 60)),
        # Within 2 % of the slide's shape.
        ((40, 60), (6060, 4000), (0, 0), None, None, (20, 10, 50, 30)),
        # The bounds' shape, not the slide's: offset and smaller.
        ((80, 80), (8000, 8000), (0, 0), (1000, 2000, 6000, 4000), None, (30, 30, 60, 50)),
        # Both fit: the slide.
        ((40, 60), (6000, 4000), (0, 0), (3000, 2000, 3000, 2000), None, (20, 10, 50, 30)),
        # A thumbnail of the bounds alone, and a mask of the slide or of the bounds.
        (
            (20, 30), (3000, 2000), (1500, 1000), (1500, 1000, 3000, 2000), (6000, 4000),
            (5, 0, 30, 20),
        ),
        (
            (40, 60), (6000, 4000), (1000, 2000), (1000, 2000, 6000, 4000), (8000, 8000),
            (20, 10, 50, 30),
        ),
    ],
)  # fmt: skip
def test_image_lies_on_slide_or_bounds(
    shape: tuple[int, int],
    extent: tuple[int, int],
    origin: tuple[int, int],
    bounds: tuple[int, int, int, int] | None,
    slide: tuple[int, int] | None,
    box: tuple[int, int, int, int],
) -> None:
    found = ImageMask(TISSUE).rasterize(
        shape, extent_level0=extent, origin_level0=origin, bounds=bounds, dimensions=slide
    )
    left, top, right, bottom = box
    expected = np.zeros(shape, bool)
    expected[top:bottom, left:right] = True
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("extent", "bounds", "words"),
    [
        ((6200, 4000), None, ["60x40", "6200x4000"]),
        ((4000, 6000), None, ["60x40", "4000x6000"]),
        ((8000, 8000), (0, 0, 5000, 4000), ["60x40", "8000x8000", "5000x4000"]),
    ],
)
def test_image_mismatch_errors(
    extent: tuple[int, int], bounds: tuple[int, int, int, int] | None, words: list[str]
) -> None:
    with pytest.raises(InputError) as raised:
        ImageMask(TISSUE).rasterize((10, 10), extent_level0=extent, bounds=bounds)
    assert raised.value.kind == "mask_mismatch"
    for word in words:
        assert word in raised.value.message


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_image_errors(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 2, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    check_bad(path, "no readable image")


def test_image_bomb_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(TISSUE).save(tmp_path / "m.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    check_bad(tmp_path / "m.png", "too large")


@pytest.mark.filterwarnings("error")
def test_large_image_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(TISSUE).save(tmp_path / "m.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert isinstance(read_mask(tmp_path / "m.png"), ImageMask)


def test_file_errors(tmp_path: Path) -> None:
    check_bad(tmp_path / "m.png", "there is no mask", "missing_mask")
    (tmp_path / "m.xml").write_text("<a/>")
    check_bad(tmp_path / "m.xml", ".geojson")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a.geojson", "b.geojson"], "a.geojson"),
        (["a.svs", "a.geojson.gz"], "a.geojson.gz"),
        (["a.b.png", "a.PNG", "aa.png"], "a.PNG"),
        (["a.json", "a.txt", "a"], "a.json"),
        (["a.tif"], "a.tif"),
        (["a.tiff", "a.jpg"], "a.jpg"),
    ],
)
def test_find_mask(names: list[str], found: str) -> None:
    assert find_mask(names, "a", exclude={"a.tiff"}) == found


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        ([], "missing_mask", "no mask a"),
        (["b.png", "a.svs", "ab.png"], "missing_mask", "no mask a"),
        (["a.png", "a.geojson"], "ambiguous_mask", "a.geojson, a.png"),
    ],
)
def test_find_mask_errors(names: list[str], kind: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        find_mask(names, "a")
    assert raised.value.kind == kind
    assert words in raised.value.message
