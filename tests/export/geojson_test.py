"""GeoJSON for QuPath: places, colours, measurements and classes of patches."""

import json

import numpy as np
import pandas as pd
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.export.colours import NO_VALUE, number_colours, word_colours
from tests.dataset.samples import SIDE, coordinates_of, write_slides

SIZES = {"a": 61, "b": 300}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return write_slides(tmp_path_factory.mktemp("slides"), SIZES)


def export(root, output, *more) -> int:
    return main(["export", root, "--to", "geojson", "--output", str(output), *map(str, more)])


def objects(path) -> list[dict]:
    collection = json.loads(path.read_text())
    assert collection["type"] == "FeatureCollection"
    return collection["features"]


def scores_of(slide_id) -> pd.DataFrame:
    """A score for each patch, in another order than the dataset's."""
    x, y = coordinates_of(SIZES[slide_id]).T
    table = pd.DataFrame({"slide_id": slide_id, "x_level0": x, "y_level0": y, "score": x - 2.0 * y})
    return table.sample(frac=1, random_state=1)


@pytest.mark.parametrize("slide_id", SIZES)
def test_patches_are_squares_coloured_by_tissue(root, tmp_path, capsys, slide_id):
    assert export(root, tmp_path) == 0
    found = objects(tmp_path / f"{slide_id}.geojson")
    corners = [one["geometry"]["coordinates"][0] for one in found]
    for ring, (x, y) in zip(corners, coordinates_of(SIZES[slide_id]).tolist(), strict=True):
        right, lower = x + SIDE, y + SIDE
        assert ring == [[x, y], [right, y], [right, lower], [x, lower], [x, y]]
    assert {one["geometry"]["type"] for one in found} == {"Polygon"}
    assert {one["properties"]["objectType"] for one in found} == {"detection"}
    tissue = [one["properties"]["measurements"]["tissue"] for one in found]
    np.testing.assert_allclose(tissue, np.linspace(0.25, 1, SIZES[slide_id]), atol=1e-6)
    # The dark and the bright end of viridis, at the lowest and the highest of all slides.
    np.testing.assert_allclose(found[0]["properties"]["color"], [68, 1, 84], atol=2)
    np.testing.assert_allclose(found[-1]["properties"]["color"], [253, 231, 37], atol=2)
    assert "colours   tissue from 0.25 (dark) to 1 (bright)" in capsys.readouterr().out


def test_scores_colour_the_patches(root, tmp_path, capsys):
    table = pd.concat([scores_of("a"), scores_of("b").iloc[:-7]])
    table.to_csv(tmp_path / "s.csv", index=False)
    assert export(root, tmp_path / "o", "--scores", tmp_path / "s.csv", "--range", -5000, 2000) == 0
    said = capsys.readouterr().out
    assert "score from -5000 (dark) to 2000 (bright)" in said
    assert "7 patches have no score, and are grey" in said
    for slide_id in SIZES:
        expected = scores_of(slide_id).set_index(["x_level0", "y_level0"]).score
        for one in objects(tmp_path / "o" / f"{slide_id}.geojson"):
            x, y = one["geometry"]["coordinates"][0][0]
            properties = one["properties"]
            if "measurements" in properties:
                assert properties["measurements"] == {"score": expected[x, y]}
            else:
                assert properties["color"] == list(NO_VALUE)


def test_one_of_several_scores(root, tmp_path, capsys):
    table = scores_of("a").assign(other=1)
    table.to_parquet(tmp_path / "s.parquet")
    flags = ["--only", "a", "--scores", tmp_path / "s.parquet"]
    assert export(root, tmp_path / "o", *flags) == 2
    assert "several columns of scores; choose one with --column: score, other" in (
        capsys.readouterr().err
    )
    assert export(root, tmp_path / "o", *flags, "--column", "other") == 0
    found = objects(tmp_path / "o" / "a.geojson")
    assert {one["properties"]["measurements"]["other"] for one in found} == {1.0}
    assert not (tmp_path / "o" / "b.geojson").exists()


def test_words_become_classes(root, tmp_path, capsys):
    table = scores_of("a")
    table["score"] = np.where(table.score > 0, "tumour", "stroma")
    table.to_csv(tmp_path / "s.csv", index=False)
    assert export(root, tmp_path / "o", "--scores", tmp_path / "s.csv", "--only", "a") == 0
    assert "colours   score: stroma, tumour" in capsys.readouterr().out
    classes = [one["properties"]["classification"] for one in objects(tmp_path / "o/a.geojson")]
    assert {one["name"] for one in classes} == {"stroma", "tumour"}
    assert len({tuple(one["color"]) for one in classes}) == 2
    assert sum(one["name"] == "tumour" for one in classes) == (table.score == "tumour").sum()


def test_the_class_of_a_mask_colours_too(root, tmp_path):
    assert export(root, tmp_path, "--column", "class") == 0
    found = [one["properties"] for one in objects(tmp_path / "a.geojson")]
    named = [one["classification"]["name"] for one in found if "classification" in one]
    assert named == ["tumour"] * 21
    assert all(one["color"] == list(NO_VALUE) for one in found if "classification" not in one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="y_level0"), "no column 'y_level0'; did you mean 'x_level0'?"),
        (lambda t: t.rename(columns={"slide_id": "slide"}), "no column 'slide_id'; did you mean"),
        (lambda t: t.drop(columns="score"), "no columns of scores"),
        (lambda t: t.assign(slide_id="z"), "no row belongs to a slide of the dataset; its slide_id "
                                           "is like 'z', and that of the dataset is like 'a'"),
        (lambda t: t.assign(x_level0=0, y_level0=0), "two rows have the same patch of 'a'"),
        (lambda t: t.assign(x_level0="left"), "x_level0 is not a column of whole numbers"),
        (lambda t: t.assign(x_level0=[None, *t.x_level0[1:]]), "x_level0 is blank in some rows"),
    ],
)  # fmt: skip
def test_scores_errors(root, tmp_path, capsys, change, message):
    change(scores_of("a")).to_csv(tmp_path / "s.csv", index=False)
    assert export(root, tmp_path / "o", "--scores", tmp_path / "s.csv") == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_slides_that_only_the_scores_have_are_told(root, tmp_path, capsys):
    table = pd.concat([scores_of("a"), scores_of("b"), scores_of("a").assign(slide_id="z")])
    table.to_csv(tmp_path / "s.csv", index=False)
    assert export(root, tmp_path / "o", "--scores", tmp_path / "s.csv") == 0
    assert "--scores has 1 more slides, which the dataset has not" in capsys.readouterr().out


def test_number_colours():
    # Five points of viridis, as its authors publish it.
    known = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]
    found = number_colours(np.array([0, 0.25, 0.5, 0.75, 1]) * 4 + 3, 3, 7)
    np.testing.assert_allclose(found.astype(int), known, atol=3)
    beyond = number_colours(np.array([-9, 99, np.nan]), 3, 7).tolist()
    np.testing.assert_allclose(beyond[:2], [known[0], known[-1]], atol=2)
    assert beyond[2] == list(NO_VALUE)
    assert number_colours(np.array([5.0]), 5, 5).shape == (1, 3)


def test_word_colours_differ():
    words = [f"class {index}" for index in range(12)]
    colours = word_colours(words)
    assert list(colours) == words
    assert len(set(colours.values())) == 12
    assert word_colours([]) == {}
