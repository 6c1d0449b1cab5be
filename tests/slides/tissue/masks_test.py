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
from beamscope.transforms.slides.tissue.geojson import Area
from beamscope.transforms.slides.tissue.mask_values import MaskImage
from beamscope.transforms.slides.tissue.masks import ImageMask, Placement, PolygonMask, read_mask


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
    coverage = mask.coverage(Placement((800, 1000), (1000, 800)))
    assert coverage.dtype == np.float32
    assert coverage.sum() == pytest.approx(area, abs=0.01)


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
    mask = PolygonMask((Area((np.array(square(100, 200, 400, 200)),)),))
    found = mask.coverage(Placement(shape, extent, origin, bounds))
    left, top, right, bottom = box
    expected = np.zeros(shape)
    expected[top:bottom, left:right] = 1
    assert (found == expected).all()


@given(
    st.floats(-500, 1500), st.floats(-500, 1500), st.floats(20, 900), st.floats(20, 900),
    st.integers(20, 200), st.integers(20, 200),
)  # fmt: skip
def test_rectangles_cover_their_area(
    x: float, y: float, width: float, height: float, h: int, w: int
) -> None:
    mask = PolygonMask((Area((np.array(square(x, y, width, height)),)),))
    coverage = mask.coverage(Placement((h, w), (1000, 800)))
    wide = max(min(x + width, 1000) - max(x, 0), 0)
    high = max(min(y + height, 800) - max(y, 0), 0)
    # Coverage is kept in steps of 1/65536 of a pixel, which has 1000 x 800 / (h w) units of area.
    found = coverage.mean(dtype=np.float64) * 1000 * 800
    assert found == pytest.approx(wide * high, abs=1000 * 800 / 65536)


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
IMAGE = MaskImage(TISSUE, 60, 40)


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
    found = ImageMask(IMAGE).coverage(Placement(shape, extent, origin, bounds, slide))
    left, top, right, bottom = box
    expected = np.zeros(shape)
    expected[top:bottom, left:right] = 1
    np.testing.assert_allclose(found, expected, atol=1e-4)


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
        ImageMask(IMAGE).coverage(Placement((10, 10), extent, bounds=bounds))
    assert raised.value.kind == "mask_mismatch"
    for word in words:
        assert word in raised.value.message


def test_file_errors(tmp_path: Path) -> None:
    check_bad(tmp_path / "m.png", "there is no mask", "missing_mask")
    (tmp_path / "m.xml").write_text("<a/>")
    check_bad(tmp_path / "m.xml", ".geojson")


@pytest.mark.parametrize(("every", "tissue"), [(2, 1.0), (3, 0.0)])
def test_the_parts_of_small_pixels_are_averaged(every: int, tissue: float) -> None:
    # Of a checkerboard half is tissue wherever it is looked at, of stripes one third.
    image = MaskImage(np.indices((40, 60)).sum(axis=0) % every == 1, 60, 40)
    side = 2 if every == 2 else 3
    coverage = ImageMask(image).coverage(Placement((40 // side, 60 // side), (6000, 4000)))
    assert (coverage == tissue).all()


def test_an_image_may_end_within_its_last_pixels() -> None:
    # 60 x 40 px, averaged down by 7: the last column stands for 4 px.
    pixels = np.zeros((6, 9), np.float32)
    pixels[:, -1] = 1
    coverage = ImageMask(MaskImage(pixels, 60 / 7, 40 / 7)).coverage(Placement((4, 15), (600, 400)))
    expected = np.zeros((4, 15))
    expected[:, -1] = 1
    np.testing.assert_array_equal(coverage, expected)


SMALL = [4, 6, 8, 10, 12, 16]


@pytest.mark.parametrize("side", SMALL)
@pytest.mark.parametrize("shift", [0.0, 4.0, 7.3])
def test_tiles_without_gaps_are_their_union(side: float, shift: float) -> None:
    # µm at 0.5 µm/px, on pixels of 8 µm.
    step = side / 0.5
    areas = tuple(
        Area((np.array(square(512 + shift + i * step, 448 + shift + j * step, step, step)),))
        for i in range(round(512 // step))
        for j in range(round(448 // step))
    )
    wide, high = 512 // step * step, 448 // step * step
    whole = (Area((np.array(square(512 + shift, 448 + shift, wide, high)),)),)
    place = Placement((112, 128), (2048, 1792))
    found, expected = (PolygonMask(mask).coverage(place) for mask in (areas, whole))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("um", SMALL)
def test_nuclei_keep_their_area(um: float) -> None:
    random = np.random.default_rng(0)
    radius = um / 2 / 0.5
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # Apart from each other, but anywhere on the pixels.
    step = 3 * radius
    centres = [
        (100 + i * step + random.uniform(0, radius), 100 + j * step + random.uniform(0, radius))
        for i in range(30)
        for j in range(25)
    ]
    mask = PolygonMask(tuple(Area((circle + centre,)) for centre in centres))
    coverage = mask.coverage(Placement((112, 128), (2048, 1792)))
    x, y = circle.T
    area = len(centres) * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert coverage.sum(dtype=np.float64) * 256 == pytest.approx(area, rel=0.01)


CLASSES = [
    ("Tumor", {"name": "Tumor", "color": [200, 0, 0]}),
    ("Stroma", {"name": "Stroma", "colorRGB": -6895466}),
    ("Tumor: Positive", {"names": ["Tumor", "Positive"]}),
    ("Ignore*", {"name": "Ignore*"}),
    (None, None),
    ("Artefact*", {"name": "Artefact*"}),
    ("Region*", {"name": "Region*"}),
]


def with_classes() -> dict[str, Any]:
    """Squares of 100 px side by side, one a class."""
    features = []
    for number, (_, said) in enumerate(CLASSES):
        one = feature("Polygon", [square(100 * number, 0, 100, 100)])
        one["properties"]["classification"] = said
        features.append(one)
    return collection(*features)


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        ((), [0, 1, 2, 4, 6]),
        (("Tumor",), [0]),
        (("Stroma", "Tumor: Positive"), [1, 2]),
        (("Ignore*",), [3]),
        (("Tumor", "absent"), [0]),
    ],
)
def test_classes_can_be_chosen(
    tmp_path: Path, classes: tuple[str, ...], columns: list[int]
) -> None:
    path = write(tmp_path / "m.geojson", with_classes())
    mask = read_mask(path, classes=classes)
    place = Placement((1, 7), (700, 100))
    expected = np.zeros(7)
    expected[columns] = 1
    assert (mask.coverage(place)[0] == expected).all()
    names = [CLASSES[index][0] for index in columns]
    assert {name: row[0].tolist() for name, row in mask.by_class(place)} == {
        name: [float(CLASSES[column][0] == name) for column in range(7)] for name in names
    }


def test_a_mask_without_the_classes_says_which_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "m.geojson", with_classes())
    mask = read_mask(path, classes=["Necrosis"])
    assert not mask.coverage(Placement((1, 5), (500, 100))).any()
    assert mask.empty_reason is not None
    for word in ("Necrosis", "(no class)", "Ignore*", "Stroma", "Tumor: Positive"):
        assert word in mask.empty_reason


def test_classes_of_an_image_errors(tmp_path: Path) -> None:
    Image.fromarray(TISSUE).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="--mask_classes"):
        read_mask(tmp_path / "m.png", classes=["Tumor"])
