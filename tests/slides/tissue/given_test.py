import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.tissue.given import lay_mask, shown
from beamscope.transforms.slides.tissue.masks import Placement

PLACE = Placement((10, 20), (2000, 1000))


def write(path: Path, *areas: tuple[str | None, tuple[float, float, float, float]]) -> str:
    """A GeoJSON file of rectangles (left, top, right, bottom), each with its class."""
    features: list[dict[str, Any]] = []
    for name, (left, top, right, bottom) in areas:
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"classification": {"name": name}} if name else {},
            }
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def test_the_class_of_a_patch_is_that_of_its_largest_part(tmp_path: Path) -> None:
    mask = write(
        tmp_path / "m.geojson",
        ("Tumor", (0, 0, 550, 1000)),
        ("Stroma", (550, 0, 900, 1000)),
        (None, (900, 0, 1500, 1000)),
        ("Necrosis", (1500, 0, 1520, 1000)),
    )
    given = lay_mask(mask, "s.svs", PLACE)
    # Patches of 400 px from 0, 300, 500, 800, 1100 and 1400 on; a pixel is 100 px.
    x = np.array([0.0, 3, 5, 8, 11, 14])
    side = np.full(6, 4.0)
    assert given.classes(x, np.zeros(6), side, side) == (
        "Tumor",  # all of it
        "Tumor",  # 250 to 150
        "Stroma",  # 350 to 50
        None,  # 100 to 300 without a class
        None,
        None,  # 20 to 100 without a class
    )
    assert given.empty_reason is None


def test_of_equal_parts_the_first_name_counts(tmp_path: Path) -> None:
    mask = write(tmp_path / "m.json", ("b", (0, 0, 200, 400)), ("a", (200, 0, 400, 400)))
    given = lay_mask(mask, "s.svs", PLACE)
    one = np.array([0.0])
    assert given.classes(one, one, one + 4, one + 4) == ("a",)


def test_images_have_no_classes(tmp_path: Path) -> None:
    Image.fromarray(np.ones((10, 20), np.uint8)).save(tmp_path / "m.png")
    given = lay_mask(str(tmp_path / "m.png"), "s.svs", PLACE)
    one = np.array([0.0])
    assert given.classes(one, one, one + 4, one + 4) is None
    assert (given.coverage == 1).all()


@pytest.mark.parametrize(
    ("name", "classes", "words"),
    [
        ("Tumor", ["Stroma"], "the mask has no area of the classes Stroma; its classes: Tumor"),
        ("Ignore*", [], "the mask is left out; its classes: Ignore*"),
        (None, ["Tumor"], "its classes: (no class)"),
    ],
)
def test_why_a_mask_is_empty(
    tmp_path: Path, name: str | None, classes: list[str], words: str
) -> None:
    mask = write(tmp_path / "m.geojson", (name, (0, 0, 500, 500)))
    given = lay_mask(mask, "s.svs", PLACE, classes=classes)
    assert given.empty_reason is not None
    assert words in given.empty_reason


def test_a_mask_beside_the_slide_is_empty(tmp_path: Path) -> None:
    mask = write(tmp_path / "m.geojson", ("Tumor", (5000, 0, 5500, 500)))
    assert lay_mask(mask, "s.svs", PLACE).empty_reason == "the mask is empty"


@pytest.mark.parametrize("way", ["same", "copy", "link", "hard link"])
def test_a_slide_is_never_its_own_mask(tmp_path: Path, way: str) -> None:
    slide, mask = tmp_path / "a.tif", tmp_path / "m.tif"
    Image.fromarray(np.ones((10, 20), np.uint8)).save(slide)
    if way == "same":
        mask = slide
    elif way == "copy":
        shutil.copy(slide, mask)
    elif way == "link":
        mask.symlink_to(slide)
    else:
        mask.hardlink_to(slide)
    with pytest.raises(InputError, match="is the slide itself") as raised:
        lay_mask(str(mask), str(slide), PLACE)
    assert raised.value.kind == "bad_mask"


def test_what_is_drawn_as_tissue() -> None:
    coverage = np.array([[0, 0.4, 0.6, 1]], np.float32)
    assert shown(coverage).tolist() == [[False, False, True, True]]
    # Nuclei that nowhere cover half a pixel are drawn all the same.
    assert shown(coverage * np.float32(0.4)).tolist() == [[False, True, True, True]]
    assert not shown(np.zeros((2, 2), np.float32)).any()
