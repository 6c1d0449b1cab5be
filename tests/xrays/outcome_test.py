import dataclasses

import pyarrow as pa
import pytest

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problems import Problem
from beamscope.transforms.sources.outcome import (
    block_outcome,
    check_parts,
    source_outcome,
)
from beamscope.transforms.sources.planning.plan import SourcePlan, plan_source
from beamscope.transforms.sources.planning.plan_file import write_plan
from beamscope.transforms.xrays.catalog_matches import catalog_counts, explain_no_match
from beamscope.transforms.xrays.catalogs.layouts import CHEXPERT_LABELS
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.reading.film_block import TABLE_SCHEMA, FilmSettings
from beamscope.transforms.xrays.settings import CatalogFile, XraySettings
from tests.sources.archive_makers import make_zip
from tests.xrays.dicom_makers import make_dicom, ramp
from tests.xrays.film_parts import write_film_parts
from tests.xrays.reading.films_test import jpegs

SETTINGS = XraySettings(FilmSettings(Preprocess(16)), block_size=4)


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path / "out"), "p1", "f")


@pytest.fixture
def with_catalog(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "file,patient_id,view_position\n"
        "film0,7,PA\nfilm1,7,AP\nbad,8,PA\nlink,9,AP\nnowhere,10,PA\nelsewhere,11,\n"
    )
    return dataclasses.replace(SETTINGS, catalog=CatalogFile("csv", str(path), "file"))


def planned(source, layout, settings=SETTINGS):
    plan = plan_source(source, settings)
    write_plan(layout, plan)
    return write_film_parts(source, layout, settings)


def test_a_block_gives_a_row_for_each_film(tmp_path, layout, with_catalog):
    films = {**jpegs(2), "x.dcm": make_dicom(ramp(bits=12), bits=12), "z/bad.jpg": b""}
    source = make_zip(tmp_path / "x.zip", films)
    (part,) = planned(source, layout, with_catalog)
    outcome = block_outcome(layout, part, with_catalog.reading())
    assert outcome.item_id == "x.zip#000000"
    assert (outcome.rows, outcome.parts, outcome.counts) == (3, (part.path,), {})
    assert [problem.member for problem in outcome.problems] == ["z/bad.jpg"]
    rows = outcome.table.to_pylist()
    assert set(rows[0]) | {"shard"} == set(TABLE_SCHEMA.names)
    picked = ("image_id", "status", "origin", "patient_id", "view_position", "in_catalog")
    assert [tuple(row[name] for name in picked) for row in rows] == [
        ("film0", "done", "jpeg", "7", "PA", True),
        ("film1", "done", "jpeg", "7", "AP", True),
        ("x.zip/x.dcm", "done", "dicom", None, None, False),
        # What failed is known to the catalogue all the same.
        ("bad", "failed", None, "8", "PA", True),
    ]
    assert rows[3]["reason"].startswith("not_a_film: ")
    assert (rows[2]["photometric"], rows[2]["width"]) == ("MONOCHROME2", 64)


def test_a_block_of_nothing_but_failures_has_no_part_to_assemble(tmp_path, layout):
    source = make_zip(tmp_path / "x.zip", {"1.jpg": b"", "2.jpg": b""})
    (part,) = planned(source, layout)
    outcome = block_outcome(layout, part, SETTINGS.reading())
    assert (outcome.rows, outcome.parts, len(outcome.problems)) == (0, (), 2)
    assert outcome.table["status"].to_pylist() == ["failed", "failed"]


def test_films_of_another_view_are_counted_and_no_rows(tmp_path, layout):
    settings = dataclasses.replace(
        SETTINGS, films=FilmSettings(Preprocess(16), views=frozenset({"PA"}))
    )
    films = {
        f"{view}.dcm": make_dicom(ramp(bits=12), bits=12, ViewPosition=view)
        for view in ("PA", "AP", "LL")
    }
    (part,) = planned(make_zip(tmp_path / "x.zip", films), layout, settings)
    outcome = block_outcome(layout, part, SETTINGS.reading())
    assert outcome.table["view_position"].to_pylist() == ["PA"]
    assert outcome.counts == {"left_out_other_view": 2}


def test_a_source_tells_what_was_wrong_before_its_films_were_read(tmp_path, layout, with_catalog):
    source = make_zip(tmp_path / "x.zip", {})
    uri = source.uri
    broken = Problem("x.zip", uri, "plan", "truncated_archive", "cut off")
    link = Problem("x.zip/link.jpg", uri, "plan", "link_member", "is a link", member="link.jpg")
    skipped = {"clutter": 2, "not_an_image": 1}
    write_plan(layout, SourcePlan(source, (), (), (link,), (broken,), skipped))
    outcome = source_outcome(layout, "x.zip", with_catalog.reading())
    assert outcome.problems == (broken, link)
    assert (outcome.rows, outcome.parts) == (0, ())
    assert outcome.counts == {"left_out_clutter": 2, "left_out_not_an_image": 1}
    picked = ("image_id", "source", "member", "status", "reason", "patient_id", "in_catalog")
    assert [tuple(row[name] for name in picked) for row in outcome.table.to_pylist()] == [
        ("x.zip", uri, None, "failed", "truncated_archive: cut off", None, False),
        ("x.zip/link.jpg", uri, "link.jpg", "failed", "link_member: is a link", "9", True),
    ]


@pytest.mark.parametrize(
    ("views", "without"),
    [((), 2), (("PA",), 1), (("AP",), 0), (("UNKNOWN",), 1), (("PA", "UNKNOWN"), 2)],
)
def test_the_catalogue_is_counted_from_both_sides(tmp_path, with_catalog, views, without):
    uri = str(tmp_path / "x.zip")

    def row(image_id, member, in_catalog):
        return {
            "image_id": image_id,
            "source": uri,
            "member": member,
            "status": "done",
            "in_catalog": in_catalog,
        }

    images = pa.Table.from_pylist(
        [
            row("film0", "a/film0.jpg", True),
            row("film0", "b/film0.jpg", True),
            row("film1", "film1.jpg", True),
            row("bad", "bad.jpg", True),
            # Refused while it was planned, so that its id is its own.
            row("x.zip/link.jpg", "link.jpg", True),
            row("x.zip/other.jpg", "other.jpg", False),
            row("x.zip", None, False),
        ],
        TABLE_SCHEMA,
    )
    films = FilmSettings(Preprocess(16), views=frozenset(views))
    assert catalog_counts(images, dataclasses.replace(with_catalog, films=films)) == {
        "in_catalog": 5,
        "not_in_catalog": 1,
        "catalog_rows": 6,
        "catalog_rows_without_film": without,
    }
    assert catalog_counts(images, SETTINGS) == {}
    assert explain_no_match(images, with_catalog) is None
    assert explain_no_match(images, SETTINGS) is None


def test_a_catalogue_of_other_films_is_said_with_examples(with_catalog):
    def images(*members):
        rows = [
            {"image_id": "x", "source": "/d/x.zip", "member": member, "status": "done",
             "in_catalog": False}
            for member in members
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, TABLE_SCHEMA)

    assert explain_no_match(images("p/1", "p/2", None), with_catalog) == (
        "none of 2 films is in the catalogue: keys are like 'bad', films are like '/d/x.zip/p/1'"
    )
    assert explain_no_match(images(None), with_catalog) is None
    assert explain_no_match(images(), with_catalog) is None


@pytest.mark.parametrize(
    ("views", "without"),
    [((), 3), (("AP",), 1), (("LATERAL",), 1), (("UNKNOWN",), 1), (("PA", "AP"), 1)],
)
def test_the_view_of_a_chexpert_row_is_the_projection_or_else_the_plane(tmp_path, views, without):
    path = tmp_path / "train.csv"
    labels = ",".join(CHEXPERT_LABELS)
    blank = "," * len(CHEXPERT_LABELS)
    said = ("Frontal,AP", "Frontal,PA", "Lateral,", ",")
    path.write_text(
        f"Path,Frontal/Lateral,AP/PA,{labels}\n"
        + "".join(f"C/train/p{i}/study1/v.jpg,{view}{blank}\n" for i, view in enumerate(said))
    )
    catalog = CatalogFile("chexpert", str(path)).load()
    assert catalog.find("x.zip/C/train/p1/study1/v.jpg").image_id == "p1/study1/v.jpg"
    assert catalog.count_without(["p1/study1/v.jpg"], frozenset(views)) == without


def test_parts_come_in_their_order(tmp_path, layout):
    parts = planned(make_zip(tmp_path / "x.zip", jpegs(10)), layout)
    assert check_parts(layout, "x.zip", reversed(parts)) == parts


def test_check_parts_errors(tmp_path, layout):
    parts = planned(make_zip(tmp_path / "x.zip", jpegs(10)), layout)
    other = dataclasses.replace(parts[0], planned=3)
    for wrong in (parts[:-1], [*parts, parts[0]], [], [other, *parts[1:]]):
        with pytest.raises(ValueError, match="are not the blocks"):
            check_parts(layout, "x.zip", wrong)
