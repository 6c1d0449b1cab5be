"""Joins with tables as STAMP, Patho-Bench, CLAM and collections of films have them."""

import numpy as np
import pyarrow as pa
import pytest

from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.tables.cohort import LabelSettings, join, labels_of_dataset
from beamscope.transforms.probe.tables.label_file import Table
from beamscope.transforms.probe.tables.targets import Policy
from beamscope.transforms.problems import InputError
from tests.probe.datasets import write_dataset, write_films, write_slides

SLIDES = {f"s{place}": np.full((place + 1, 2), place, float) for place in range(6)}


@pytest.fixture
def slides(tmp_path):
    return DatasetRows(write_slides(tmp_path / "slides", SLIDES))


@pytest.fixture
def films(tmp_path):
    names = [f"{label}/person{n // 2}_{n}.jpeg" for n, label in enumerate(["N", "P"] * 4)]
    return DatasetRows(write_films(tmp_path / "films", names, np.zeros((8, 2))))


def table(**columns):
    return Table("--labels t.csv", columns)


def labelled(cohort):
    target = cohort.units.target
    return {
        name: target.classes[int(value)]
        for name, value in zip(cohort.units.names, target.values[:, 0], strict=True)
    }


def test_the_table_of_clam(slides):
    cohort = join(
        [slides],
        table(case_id=["p0", "p0", "p1", "p1", "p2", "px"],
              slide_id=["s0", "s1", "s2.svs", "s3", "s4", "s9"],
              label=["a", "b", "a", "b", "a", "b"]),
        LabelSettings(),
    )  # fmt: skip
    assert cohort.columns == {"key": "slide_id", "unit": "slide_id", "target": "label",
                              "task": "classification", "groups": "case_id"}  # fmt: skip
    assert labelled(cohort) == {"s0": "a", "s1": "b", "s2.svs": "a", "s3": "b", "s4": "a"}
    assert cohort.units.patients == ("p0", "p0", "p1", "p1", "p2")
    assert cohort.units.groups.tolist() == [0, 0, 1, 1, 2]
    # Slide s5 has 6 patches and no label.
    rows = np.repeat([0, 1, 2, 3, 4, -1], [1, 2, 3, 4, 5, 6])
    assert cohort.of_rows[0].tolist() == rows.tolist()
    assert set(cohort.notes) == {"1 of 6 items of the dataset have no label",
                                 "1 of 6 labelled units have no embedding"}  # fmt: skip


def test_the_tables_of_stamp(slides):
    # Patients' labels in the clini table; their slides, as .h5, in the slide table.
    clini = table(PATIENT=["p0", "p1", "p2"], KRAS=["mutated", "wild type", "mutated"])
    slide = Table("--slide_table s.csv", {
        "PATIENT": ["p0", "p0", "p1", "p2", "p9"],
        "FILENAME": ["sub/s0.h5", "s1.h5", "s2.h5", "s3.h5", "s4.h5"],
    })  # fmt: skip
    cohort = join([slides], clini, LabelSettings(target=("KRAS",)), slide)
    assert labelled(cohort) == {"p0": "mutated", "p1": "wild type", "p2": "mutated"}
    rows = np.repeat([0, 0, 1, 2, -1, -1], [1, 2, 3, 4, 5, 6])
    assert cohort.of_rows[0].tolist() == rows.tolist()
    assert cohort.columns["unit"] == "PATIENT"


def test_the_cases_of_patho_bench(slides):
    # A row a slide; predictions are of cases.
    cohort = join(
        [slides],
        table(case_id=["c0", "c0", "c1"], slide_id=["s0", "s1", "s2"], er=["1", "1", "0"],
              fold_0=["train", "train", "test"]),
        LabelSettings(target=("er",), unit="case_id"),
    )  # fmt: skip
    assert labelled(cohort) == {"c0": "1", "c1": "0"}
    assert cohort.of_rows[0].tolist() == np.repeat([0, 0, 1, -1, -1, -1], range(1, 7)).tolist()


def test_survival_of_patients_that_the_manifest_names(tmp_path):
    items = {"slide_id": pa.array(["s0", "s1", "s2"]), "patient": pa.array(["p0", "p0", "p1"])}
    some = {name: SLIDES[name] for name in ("s0", "s1", "s2")}
    rows = DatasetRows(write_slides(tmp_path / "d", some, items=items))
    clini = table(patient_id=["p0", "p1"], days=["30", "40"], death=["1", "0"])
    cohort = join([rows], clini, LabelSettings(time="days", event="death"))
    assert cohort.units.names == ("p0", "p1")
    assert cohort.units.target.values.tolist() == [[30, 1], [40, 0]]
    assert cohort.of_rows[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_films_by_path_and_patients_by_a_pattern(films):
    names = [f"P/person{n // 2}_{n}.jpeg" for n in (1, 3, 5, 7)] + ["N/person0_0.jpeg"]
    cohort = join(
        [films],
        table(file=names, label=["1", "1", "1", "1", "0"]),
        LabelSettings(group_pattern=r"(person\d+)_"),
    )
    assert cohort.units.patients == ("person0", "person1", "person2", "person3", "person0")
    assert cohort.of_rows[0].tolist() == [4, 0, -1, 1, -1, 2, -1, 3]


def test_the_labels_that_the_dataset_holds(tmp_path):
    labels = [[("Edema", 1.0), ("Fracture", 0.0)], [("Edema", -1.0)], None, [("Edema", 0.0)]]
    rows = {
        "image_id": pa.array(list("abcd")),
        "member": pa.array(list("abcd")),
        "patient_id": pa.array(["p", "p", "q", None]),
        "labels": pa.array(labels, pa.map_(pa.string(), pa.float32())),
    }
    dataset = DatasetRows(write_dataset(tmp_path / "d", rows, np.zeros((4, 2))))
    found = labels_of_dataset(dataset)
    assert found.columns["Edema"] == ["1", "-1", None, "0"]
    assert found.columns["Fracture"] == ["0", None, None, None]
    settings = LabelSettings(target=("Edema",), policy=Policy("u_ones"))
    cohort = join([dataset], found, settings)
    assert labelled(cohort) == {"a": "1", "b": "1", "d": "0"}
    assert cohort.units.groups[0] == cohort.units.groups[1] != cohort.units.groups[2]
    assert "1 units have no patient: each counts as a patient of its own" in cohort.notes


def test_two_datasets_of_the_same_items(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    one = DatasetRows(write_films(tmp_path / "one", names, np.zeros((3, 2))))
    two = DatasetRows(write_films(tmp_path / "two", names[:2][::-1], np.zeros((2, 5))))
    cohort = join([one, two], table(file=names, label=["x", "y", "x"]), LabelSettings())
    assert cohort.units.names == ("a.png", "b.png")
    assert [rows.tolist() for rows in cohort.of_rows] == [[0, 1, -1], [1, 0]]


def test_without_patients_it_is_said(films):
    cohort = join(
        [films], table(file=["N/person0_0", "P/person0_1"], label=["a", "b"]), LabelSettings()
    )
    assert any("each unit counts as a patient of its own" in note for note in cohort.notes)


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"file": ["x.png"], "label": ["1"]}, {}, "no column names an item of the dataset"),
        ({"file": ["N/person0_0"], "KRAS": ["1"]}, {}, "which column is the label.*file, KRAS"),
        ({"file": ["N/person0_0"], "label": ["1"]}, {"target": ("BRAF",)}, "--target BRAF"),
        ({"file": ["N/person0_0"], "label": ["1"]}, {"key": "id"}, "--key id: .*no such column"),
        ({"file": ["N/person0_0"], "label": ["1"]}, {"time": "t"}, "must be given together"),
        ({"file": ["N/person0_0", "P/person0_1"], "label": ["1", "0"]}, {"group_pattern": "z+"},
         "--group_pattern z\\+: matches no cell of column 'file'"),
        ({"file": ["N/person0_0", "P/person0_1"], "case": ["c", "c"], "label": ["1", "0"]},
         {"unit": "case"}, "c: two rows of the labels say different things of it"),
    ],
)  # fmt: skip
def test_join_errors(films, columns, settings, message):
    with pytest.raises(InputError, match=message):
        join([films], table(**columns), LabelSettings(**settings))
