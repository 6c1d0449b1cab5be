"""What a report gathers from a dataset, and how it is written."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.transforms.dataset.features import Features
from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.report.components import fit_components
from beamscope.transforms.report.image_cards import how_it_came
from beamscope.transforms.report.page import in_script, to_html
from beamscope.transforms.report.projection import coded, label_columns
from beamscope.transforms.report.report import Limits, make_report
from beamscope.transforms.report.sample import sampled_tables, spread
from beamscope.transforms.report.slide_cards import Ground, draw_map
from tests.dataset.samples import write_slides


def report_of(root, **limits):
    layout = Layout(str(root), "p1", "f1")
    return make_report(open_dataset(str(root)), layout, listed="slides", limits=Limits(**limits))


def test_a_report_of_slides(tmp_path):
    write_slides(tmp_path, {"a": 700, "b": 0, "c <i>": 40})
    report = report_of(tmp_path)
    assert ("740", "embeddings") in report.numbers
    assert ("1", "failed") in report.numbers
    table = report.tables["Slides"]
    assert table.columns[:3] == ["slide_id", "status", "reason"]
    assert "uri" not in table.columns
    assert [row[0] for row in table.rows] == ["a", "b", "c <i>"]
    assert table.rows[1][2].startswith("missing_mpp: the slide does not state")
    assert [card.row["slide_id"] for card in report.cards] == ["a", "b", "c <i>"]
    assert [card.map is not None for card in report.cards] == [True, False, True]
    assert report.points is not None
    assert len(report.points["x"]) == 740
    assert next(iter(report.points["labels"])) == "class"


def test_what_is_left_out_is_said(tmp_path):
    write_slides(tmp_path, {f"s{i:02d}": 20 for i in range(30)} | {"bad": 0})
    report = report_of(tmp_path, pictures=8, sample_rows=100, points=50, map_rows=60)
    assert len(report.cards) == 8
    # What failed is among those that are shown.
    assert "bad" in {card.row["slide_id"] for card in report.cards}
    assert "8 of 31 slides are shown" in report.cards_note
    assert "3 of 7 have a map" in report.cards_note
    assert "of 600 rows" in report.points_note
    assert report.points is not None
    assert len(report.points["x"]) <= 50


def test_rows_are_sampled_over_the_whole_dataset(tmp_path):
    write_slides(tmp_path, {f"s{i}": 500 for i in range(8)}, num_shards=4)
    dataset = open_dataset(str(tmp_path))
    tables = list(sampled_tables(dataset, 400, ["slide_id"]))
    ids = {one for table in tables for one in table["slide_id"].to_pylist()}
    assert 300 <= sum(table.num_rows for table in tables) <= 600
    assert {"s0", "s7"} <= ids
    everything = list(sampled_tables(dataset, 10_000, ["slide_id"]))
    assert sum(table.num_rows for table in everything) == 4000


@pytest.mark.parametrize(
    ("count", "of", "places"),
    [(3, 2, [0, 1]), (3, 9, [0, 4, 8]), (0, 5, []), (1, 5, [0]), (5, 5, [0, 1, 2, 3, 4])],
)
def test_spread(count, of, places):
    assert spread(count, of) == places


@given(
    st.recursive(
        st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        st.lists,
        max_leaves=8,
    )
)
def test_data_in_a_script_is_json_and_ends_no_script(value):
    text = in_script(value)
    assert json.loads(text) == value
    assert not re.search("[<>&\u2028\u2029]", text)


def test_names_from_outside_are_text_in_the_page(tmp_path):
    write_slides(tmp_path, {"</script><script>alert(1)</script>": 30, "<img src=x>": 0})
    page = to_html(report_of(tmp_path))
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert page.count("<script") == 2
    # Nothing is fetched: every source is data.
    assert set(re.findall(r'(?:src|href)="([^"#]{5})', page)) <= {"data:"}


def test_a_map_has_the_colours_of_its_patches():
    embeddings = np.array([[0.0, 0], [0, 0], [10, 0]], np.float32)
    components = fit_components([embeddings, embeddings + [[0, 0.01]] * 3])
    assert components is not None
    rows = pa.table({"size_level0": pa.array([100, 100, 100], pa.int32())})
    corners = np.array([[1000, 2000], [1100, 2000], [1300, 2100]], np.int32)
    features = Features(embeddings, corners, rows)
    ground = Ground(np.full((40, 50, 3), 200, np.uint8), 1000, 2000, 10.0)
    drawn = draw_map(features, components, ground).astype(int)
    expected = np.rint(0.25 * 200 + 0.75 * components.colors(embeddings).astype(float))
    assert np.abs(drawn[5, 5] - expected[0]).max() <= 1
    assert np.abs(drawn[5, 15] - expected[1]).max() <= 1
    assert np.abs(drawn[15, 35] - expected[2]).max() <= 1
    assert (drawn[30, 5] == 200).all()
    # Without a picture, the patches lie on an empty ground of their own.
    alone = draw_map(features, components, None)
    assert (alone.reshape(-1, 3) == 245).all(axis=1).any()


def test_overlapping_patches_share_their_pixels():
    embeddings = np.array([[0.0, 0], [10, 0]], np.float32)
    components = fit_components([embeddings])
    assert components is not None
    rows = pa.table({"size_level0": pa.array([100, 100], pa.int32())})
    features = Features(embeddings, np.array([[0, 0], [50, 0]], np.int32), rows)
    ground = Ground(np.zeros((10, 15, 3), np.uint8), 0, 0, 10.0)
    drawn = draw_map(features, components, ground).astype(int)
    np.testing.assert_allclose(drawn[5, 7], (drawn[5, 2] + drawn[5, 12]) / 2, atol=1)


def test_coded():
    assert coded(["b", None, "a", "b"]) == {"values": ["a", "b"], "index": [1, -1, 0, 1]}
    many = coded([str(i) for i in range(40)] + ["0"] * 3)
    assert len(many["values"]) == 14
    assert many["values"][-1] == "other values"
    assert many["index"][0] == 0
    assert many["index"][39] == 13


def test_label_columns():
    rows = pa.table({
        "image_id": ["a", "b", "c", "d"],
        "view": ["PA", "AP", "PA", None],
        "origin": ["jpeg"] * 4,
        "labels": pa.array(
            [[("Edema", 1.0)], [("Edema", 0.0), ("Mass", -1.0)], None, []],
            pa.map_(pa.string(), pa.float32()),
        ),
    })  # fmt: skip
    items = pa.table({"image_id": ["a", "b", "d"], "split": ["train", "test", "test"]})
    found = label_columns(rows, items, "split")
    assert next(iter(found)) == "split"
    assert found["split"] == ["train", "test", None, "test"]
    assert found["view"] == ["PA", "AP", "PA", None]
    assert found["finding: Edema"] == ["present", "absent", None, None]
    assert "origin" not in found


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ({"origin": "dicom", "width": 10, "height": 20, "photometric": "MONOCHROME1",
          "grey_scale": "window", "grey_scale_ignored": "lut", "view_position": "PA"},
         {"equalize": "auto", "preprocess": "remedis"},
         [("file", "dicom, 10 x 20 px"), ("view", "PA"), ("photometric", "MONOCHROME1 (inverted)"),
          ("grey levels", "a window of the file"), ("not usable", "lut"), ("equalised", "yes"),
          ("fitted by", "remedis")]),
        ({"origin": "jpeg", "width": 5, "height": 5}, {"equalize": "auto", "preprocess": "pad"},
         [("file", "jpeg, 5 x 5 px"), ("equalised", "no"), ("fitted by", "pad")]),
        ({"origin": "png", "width": 5, "height": 5, "label": "tumour"}, {},
         [("file", "png, 5 x 5 px"), ("label", "tumour")]),
    ],
)  # fmt: skip
def test_how_it_came(row, options, expected):
    assert how_it_came(row, options) == expected
