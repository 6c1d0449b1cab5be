import gzip
import threading

import pandas as pd
import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.catalogs import (
    CHEXPERT_LABELS,
    load_catalog,
    shared_catalog,
    wants_view,
)
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
        ("csv", "file,a\nx,1\ny,2,Zaphod\n", "unreadable_catalog", "Expected 2 columns, got 3"),
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
