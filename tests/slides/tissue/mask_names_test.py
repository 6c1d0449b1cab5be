import unicodedata

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.tissue.mask_names import MaskNames


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a.geojson", "b.geojson"], "a.geojson"),
        (["a.svs", "a.geojson.gz"], "a.geojson.gz"),
        (["a.b.png", "a.PNG", "aa.png"], "a.PNG"),
        (["a.json", "a.txt", "a"], "a.json"),
        (["a.tif"], "a.tif"),
        (["a.tiff", "a.jpg"], "a.jpg"),
        # After the file, with its ending.
        (["a.svs.geojson"], "a.svs.geojson"),
        (["a.svs.png"], "a.svs.png"),
        (["a.ndpi.geojson", "a.geojson"], "a.geojson"),
        ([], None),
        (["b.png", "a.svs", "ab.png", "A.png"], None),
    ],
)
def test_find(names: list[str], found: str | None) -> None:
    assert MaskNames(names, exclude={"a.tiff"}).find(["a", "a.svs"]) == found


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_forms_of_unicode_are_alike(form: str, other: str) -> None:
    name = unicodedata.normalize(form, "Präparat é.geojson")
    slide = unicodedata.normalize(other, "Präparat é")
    assert MaskNames([name]).find([slide]) == name


@pytest.mark.parametrize(
    "names", [["a.png", "a.geojson"], ["a.svs.geojson", "a.geojson"], ["a.json", "a.geojson.gz"]]
)
def test_several_masks_errors(names: list[str]) -> None:
    with pytest.raises(InputError) as raised:
        MaskNames(names).find(["a", "a.svs"])
    assert raised.value.kind == "ambiguous_mask"
    for name in names:
        assert name in raised.value.message


def test_unused_masks_are_known() -> None:
    masks = MaskNames(["a.png", "b.png", "c.geojson", "notes.txt"], exclude={"b.png"})
    assert len(masks) == 2
    masks.find(["a"])
    assert masks.unused() == ["c.geojson"]
