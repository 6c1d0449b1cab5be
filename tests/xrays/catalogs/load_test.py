import gzip
import threading

import pandas as pd
import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.catalogs.catalog import wants_view
from beamscope.transforms.xrays.catalogs.layouts import CHEXPERT_LABELS, NamedColumns
from beamscope.transforms.xrays.catalogs.load import load_catalog, shared_catalog
from tests.shared_data import shared

MIMIC = """dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows
02aa804e-bde0afdd-112c0b34-7bc16630-4e384014,10000032,50414267,CHEST (PA AND LAT),PA,3056
174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962,10000032,50414267,"CHEST, 2 VIEWS",LATERAL,3056
2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab,10000032,53189527,,,3056
"""
CHEXPERT = (
    f"Path,Sex,Age,Frontal/Lateral,AP/PA,{','.join(CHEXPERT_LABELS)}\n"
    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,"
    "1.0,,,,,,,,,0.0,,,,1.0\n"
    "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Female,87,Frontal,PA,"
    ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,\n"
    "CheXpert-v1.0-small/train/patient00002/study1/view2_lateral.jpg,Male,83,Lateral,,"
    ",,,1.0,,,-1.0,,,,,,1.0,\n"
)
NIH = """Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,View Position
00000001_000.png,Cardiomegaly,0,1,57,PA
00000001_001.png,Cardiomegaly|Emphysema,1,1,58,ap
00000002_000.png,No Finding,0,2,80,PA
"""
ANY = """file,patient_id,finding
b/2.dcm,0017,clear
3,0018,
b/1,0017,"mass, left"
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="catalog.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize(
    "name", ["mimic-cxr-2.0.0-metadata.csv", "mimic-cxr-2.0.0-metadata.csv.gz"]
)
def test_mimic(write, name):
    catalog = load_catalog("mimic", write(MIMIC, name))
    film = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
    row = catalog.find(f"gs://b/mimic.zip/files/p10/p10000032/s50414267/{film}.jpg")
    assert (row.image_id, row.patient_id, row.study_id) == (film, "10000032", "50414267")
    assert row.view_position == "PA"
    assert row.fields == {
        "PerformedProcedureStepDescription": "CHEST (PA AND LAT)",
        "Rows": "3056",
    }
    without_view = catalog.find("2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab.dcm")
    assert without_view.view_position is None
    assert catalog.find("files/unknown.jpg") is None
    assert len(catalog) == 3


@pytest.mark.parametrize(
    "prefix",
    ["CheXpert-v1.0-small/train/", "CheXpert-v1.0/train/", "gs://b/chexpert.zip/x/train/", ""],
)
def test_chexpert(write, prefix):
    catalog = load_catalog("chexpert", write(CHEXPERT))
    first = catalog.find(f"{prefix}patient00001/study1/view1_frontal.jpg")
    assert first.image_id == "patient00001/study1/view1_frontal.jpg"
    assert (first.patient_id, first.study_id) == ("patient00001", "patient00001/study1")
    assert first.view_position == "AP"
    assert first.labels == {"No Finding": 1, "Pneumothorax": 0, "Support Devices": 1}
    assert first.fields == {"Sex": "Female", "Age": "68"}
    lateral = catalog.find(f"{prefix}patient00002/study1/view2_lateral.jpg")
    assert lateral.view_position == "LATERAL"
    assert lateral.labels["Consolidation"] == -1
    assert catalog.find("patient00001/study2/view1_frontal.jpg") is None
    assert catalog.find("view1_frontal.jpg") is None


def test_nih(write):
    catalog = load_catalog("nih", write(NIH))
    row = catalog.find("nih/images_001.tar.gz/images/00000001_001.png")
    assert row.image_id == "00000001_001.png"
    assert (row.patient_id, row.study_id, row.view_position) == ("1", "1_1", "AP")
    assert row.labels == {"Cardiomegaly": 1, "Emphysema": 1}
    assert row.fields == {"Patient Age": "58"}
    assert catalog.find("00000002_000.png").labels == {"No Finding": 1}


def test_the_real_nih_catalogue_is_read_as_pandas_reads_it():
    path = shared("data/xrays/catalogs/nih_Data_Entry_2017_v2020.head2000.csv")
    catalog = load_catalog("nih", str(path))
    table = pd.read_csv(path, dtype=str)
    assert len(catalog) == len(table)
    for _, expected in table.iloc[::97].iterrows():
        row = catalog.find(f"images/{expected['Image Index']}")
        assert row.patient_id == expected["Patient ID"]
        assert row.view_position == expected["View Position"]
        assert set(row.labels) == set(expected["Finding Labels"].split("|"))


@pytest.mark.parametrize(
    ("path", "image_id"),
    [
        ("a/b/1.jpg", "b/1"),
        ("a/b/1", "b/1"),
        ("b/2.dcm", "b/2.dcm"),
        ("b/2.jpg", None),
        ("anywhere/3.png", "3"),
        ("c/1.jpg", None),
    ],
)
def test_any_csv_is_joined_by_the_end_of_the_path(write, path, image_id):
    row = load_catalog("csv", write(ANY), "file").find(path)
    assert (row.image_id if row else None) == image_id


def test_cells_are_kept_as_they_are_written(write):
    catalog = load_catalog("csv", write("﻿" + ANY), "file")
    row = catalog.find("b/1.png")
    assert (row.patient_id, row.study_id, row.fields) == ("0017", None, {"finding": "mass, left"})
    assert catalog.find("3").fields == {}


def test_a_catalogue_of_nothing(write):
    catalog = load_catalog("csv", write("file,patient_id\n"), "file")
    assert len(catalog) == 0
    assert catalog.find("x.jpg") is None


@pytest.mark.parametrize(
    ("kind", "text", "problem", "message"),
    [
        ("csv", "name,age\n", "missing_column", "'file'"),
        ("mimic", "dicom_id,Rows\n", "missing_column", "'subject_id', 'study_id', 'ViewPosition'"),
        ("nih", "", "missing_column", "'Image Index'"),
        ("chexpert", "Path,Sex\n", "missing_column", "'AP/PA'"),
        ("csv", "file,a\nx,1\ny,2\nx,3\n", "duplicate_key", "'x' is on line 2 and on 4"),
        ("csv", "file,a\nx,1\n,2\n", "empty_key", "line 3"),
        (
            "csv",
            "file,a\nx,1\ny,2,Zaphod\n",
            "unreadable_catalog",
            "line 3 has 3 columns, the header 2",
        ),
        ("chexpert", CHEXPERT.replace("-1.0", "maybe", 1), "unreadable_catalog", "'Cardiomegaly'"),
        (
            "chexpert",
            CHEXPERT + CHEXPERT.splitlines()[1].replace("train", "valid") + "\n",
            "duplicate_key",
            "line 2 and on 5",
        ),
    ],
)
def test_load_catalog_errors(write, kind, text, problem, message):
    with pytest.raises(InputError, match=message) as caught:
        load_catalog(kind, write(text), "file")
    assert caught.value.kind == problem
    assert "catalog.csv" in caught.value.message
    assert "Zaphod" not in caught.value.message


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\x1f\x8b\x08\x00"])
def test_unreadable_files_errors(tmp_path, data):
    path = tmp_path / "catalog.csv.gz"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        load_catalog("nih", str(path))
    assert caught.value.kind == "unreadable_catalog"


def test_threads_share_one_catalogue(write):
    uri = write(NIH)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(shared_catalog("nih", uri))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(catalog is found[0] for catalog in found)


@pytest.mark.parametrize(
    ("view", "views", "wanted"),
    [
        ("PA", (), True),
        (None, (), True),
        ("PA", ("PA", "AP"), True),
        ("LATERAL", ("PA", "AP"), False),
        (None, ("PA",), False),
        (None, ("PA", "UNKNOWN"), True),
    ],
)
def test_wants_view(view, views, wanted):
    assert wants_view(view, frozenset(views)) is wanted


@pytest.mark.parametrize(
    "key",
    [
        "/data/nih/images/1.png", "./images/1.png", "images//1.png", "images\\1.png",
        "C:\\nih\\1.png", "gs://bucket/images/1.png", "file:///data/nih/images/1.png",
        "../images/1.png", "images/1.PNG", " images/1.png ", "images/1",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "path",
    [
        "/data/nih/images/1.png", "/data/nih/./images//1.png", "/data/nih/images\\1.png",
        "file:///data/nih/images/1.png", "/data/nih/images/1.PNG",
    ],
)  # fmt: skip
def test_keys_and_paths_are_joined_however_they_are_written(write, key, path):
    catalog = load_catalog("csv", write(f"file,patient_id\n{key},7\nother.png,8\n"), "file")
    if key.startswith(("gs:", "C:")):
        path = f"gs://bucket/images/{path[-5:]}" if key.startswith("gs") else f"/nih/{path[-5:]}"
    row = catalog.find(path)
    # The key stays as it is written, since it is the film's identity.
    assert (row.patient_id, row.image_id) == ("7", key.strip())
    assert catalog.count_without([row.image_id]) == 1


def test_one_film_written_in_two_ways_is_there_twice_errors(write):
    with pytest.raises(InputError, match="on line 2 and on 4") as caught:
        load_catalog("csv", write("file\na/1.png\na/2.png\n./a\\1.PNG\n"), "file")
    assert caught.value.kind == "duplicate_key"


@pytest.mark.parametrize(
    ("key", "path"),
    [("1.2.3.4", "1.2.3.4.5"), ("scan", "scan.v2"), ("1.2.3.4.5.6", "1.2.3.4.5"), ("1", "1.2")],
)
def test_the_last_number_of_a_uid_is_no_ending(write, key, path):
    assert load_catalog("csv", write(f"sop\n{key}\n"), "sop").find(f"/films/{path}") is None
    assert load_catalog("csv", write(f"sop\n{key}\n"), "sop").find(f"/films/{key}.dcm")


def test_the_case_of_a_uid_that_begins_another():
    catalog = load_catalog("csv", str(shared("cases/xrays/uid_prefix_wrong_row/uid2.csv")), "sop")
    assert catalog.find("uid2/1.2.3.4.5") is None
    assert catalog.find("uid2/1.2.3.4").patient_id == "A"


def test_the_case_of_carriage_returns_alone():
    catalog = load_catalog("csv", str(shared("cases/xrays/csv_cr_only/cr.csv")), "file")
    assert len(catalog) == 2
    assert catalog.find("a.tar/images/00000001_000.png").fields == {"a": "x"}


def test_blank_labels_are_none(write):
    nih = NIH.replace("No Finding", "") + "00000003_000.png, ,, ,60,\n"
    catalog = load_catalog("nih", write(nih), "")
    assert catalog.find("00000002_000.png").labels == {}
    row = catalog.find("00000003_000.png")
    assert (row.labels, row.patient_id, row.study_id, row.view_position) == ({}, None, None, None)
    blank = load_catalog("nih", write(NIH.replace("Cardiomegaly|Emphysema", "|Emphysema| ")))
    assert blank.find("00000001_001.png").labels == {"Emphysema": 1}


NAMED = """file,View,Patient ID,exam,Edema,Nodule,Findings,age
1.png,pa,007,e1,1,yes,Edema|Mass,60
2.png,LL,8,,-1,No,,61
3.png,,,,,,Mass,
"""


def test_columns_are_known_by_the_names_that_they_have(write):
    named = NamedColumns("View", "Patient ID", "exam", ("Edema", "Nodule", "Findings"))
    catalog = load_catalog("csv", write(NAMED), "file", named)
    first, second, third = (catalog.find(f"{i}.png") for i in (1, 2, 3))
    assert (first.view_position, first.patient_id, first.study_id) == ("PA", "007", "e1")
    assert first.labels == {"Edema": 1, "Nodule": 1, "Mass": 1}
    assert first.fields == {"age": "60"}
    assert (second.view_position, second.study_id) == ("LL", None)
    assert second.labels == {"Edema": -1, "Nodule": 0}
    assert (third.view_position, third.patient_id, third.labels) == (None, None, {"Mass": 1})
    assert catalog.count_views() == {"PA": 1, "LL": 1, "UNKNOWN": 1}
    assert catalog.count_without([], frozenset({"LL", "UNKNOWN"})) == 2
    assert catalog.first_key() == "1.png"
    assert shared_catalog("csv", write(NAMED), "file", named) is not shared_catalog(
        "csv", write(NAMED), "file"
    )


@pytest.mark.parametrize(
    ("text", "named", "kind", "message"),
    [
        (NAMED, NamedColumns(view="view"), "missing_column", "'view'; it has 'file', 'View'"),
        (NAMED, NamedColumns(labels=("Mass",)), "missing_column", "'Mass'"),
        (NAMED.replace(",", ";"), NamedColumns(), "missing_column", "separated by commas"),
        (NAMED.replace("Mass,60", "Mass,60\n4.png,,,,,,1,"), NamedColumns(labels=("Findings",)),
         "unreadable_catalog", "numbers as well as findings"),
        ("file,Edema\n1,nan\n", NamedColumns(), "unreadable_catalog", "no number"),
        ("file,Edema\n1,inf\n", NamedColumns(), "unreadable_catalog", "no number"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_used_errors(write, text, named, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        load_catalog("csv", write(text), "file", named)
    assert caught.value.kind == kind


def test_further_columns_are_typed_and_null_for_other_films(write):
    text = (
        "film,subject,Cardiomegaly,age,site,code\n"
        "a.jpg,1,1.0,61,north,007\nb.jpg,2,,70,,012\nc.jpg,3,-1,,south,1\n"
    )
    named = NamedColumns(patient="subject", labels=("Cardiomegaly",))
    catalog = load_catalog("csv", write(text), key_column="film", named=named)
    assert catalog.extra_names() == ["Cardiomegaly", "age", "site", "code"]
    found = catalog.extra_columns(["/x/c.jpg", "/x/other.jpg", "/y/a.jpg", "/y/b.jpg"])
    assert found.to_pydict() == {
        "Cardiomegaly": [-1.0, None, 1.0, None],
        "age": [None, None, 61, 70],
        "site": ["south", None, "north", None],
        "code": ["1", None, "007", "012"],
    }
    assert str(found.schema.field("age").type) == "int64"
