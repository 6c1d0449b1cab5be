import json

import numpy as np
import pytest

from beamscope.transforms.probe.splits.folds import make_folds
from beamscope.transforms.probe.splits.split_file import (
    folds_of,
    known_names,
    read_back,
    read_splits,
    write_splits,
)
from beamscope.transforms.problems import InputError
from tests.probe.datasets import classes_of, units_of

# Six slides of three patients; unit u2 is of patient p1, and so on.
UNITS = units_of(classes_of([0, 0, 1, 1, 0, 1]), [0, 0, 1, 1, 2, 2])
KNOWN = known_names(UNITS)


def folds_in(path):
    folds, notes = folds_of(read_splits(str(path), KNOWN, "--splits"), UNITS, KNOWN, "--splits f")
    return [(fold.train.tolist(), fold.test.tolist()) for fold in folds], notes


def test_what_is_written_is_read_back(tmp_path):
    units = units_of(classes_of(np.arange(30) % 2), np.arange(30) // 2)
    units = units.take(np.arange(30))
    path = str(tmp_path / "splits.json")
    folds = make_folds(units.target, units.groups // 2, 3, seed=0)
    write_splits(path, units, folds, {"seed": 0})
    known = known_names(units)
    asked_for, _ = folds_of(read_splits(path, known, "--splits"), units, known, "--splits")
    for made, back, asked in zip(folds, read_back(path, units), asked_for, strict=True):
        for one in (back, asked):
            assert made.train.tolist() == one.train.tolist()
            assert made.test.tolist() == one.test.tolist()
    assert json.loads((tmp_path / "splits.json").read_text())["seed"] == 0


def test_the_splits_of_stamp(tmp_path):
    splits = [{"train_patients": ["p0", "p1"], "test_patients": ["p2"]},
              {"train_patients": ["p2", "p1"], "test_patients": ["p0"]}]  # fmt: skip
    (tmp_path / "splits.json").write_text(json.dumps({"splits": splits}))
    found, notes = folds_in(tmp_path / "splits.json")
    assert found == [([0, 1, 2, 3], [4, 5]), ([2, 3, 4, 5], [0, 1])]
    assert notes == []


def test_the_folds_of_patho_bench(tmp_path):
    # Its columns: case, slide, the task's label, fold_0 to fold_N. Labels look like names here.
    rows = ["case_id\tslide_id\tu1\tfold_0\tfold_1\tfold_10\tfold_2"]
    for place in range(6):
        role = ["train", "train", "test"]
        patient = place // 2
        folds = [role[patient], role[(patient + 1) % 3], role[patient], role[(patient + 2) % 3]]
        rows.append("\t".join([f"p{patient}", f"u{place}", str(place % 2), *folds]))
    (tmp_path / "k=all.tsv").write_text("\n".join(rows))
    found, _ = folds_in(tmp_path / "k=all.tsv")
    tests = [test for _, test in found]
    # fold_10 comes last.
    assert tests == [[4, 5], [2, 3], [0, 1], [4, 5]]


def test_the_folder_of_clam(tmp_path):
    for name, test, val in (("splits_0.csv", "u4", "u2"), ("splits_1.csv", "u0", "u2"),
                            ("splits_10.csv", "u4", "u2")):  # fmt: skip
        train = {"u4": ["u0", "u1"], "u0": ["u4", "u5"]}[test]
        lines = [f"0,{train[0]},{val},{test}", f"1,{train[1]},,"]
        (tmp_path / name).write_text("\n".join([",train,val,test", *lines]))
        (tmp_path / name.replace(".csv", "_bool.csv")).write_text(",train,val,test\n")
        (tmp_path / name.replace(".csv", "_descriptor.csv")).write_text(",train,val,test\n")
    found, notes = folds_in(tmp_path)
    assert found == [([0, 1], [4]), ([4, 5], [0]), ([0, 1], [4])]
    assert notes == [
        "validation sets of the splits are not used: 3 units over all splits",
        "6 units over all splits are not in the split file and are left out",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slide,fold\nu0.svs,a\nu1.svs,a\nu2.svs,b\nu3.svs,b\nu4.svs,c\nu5.svs,c\n",
         [([2, 3, 4, 5], [0, 1]), ([0, 1, 4, 5], [2, 3]), ([0, 1, 2, 3], [4, 5])]),
        ("patient,split\np0,train\np1,validation\np2,test\n", [([0, 1], [4, 5])]),
    ],
)  # fmt: skip
def test_a_plain_csv(tmp_path, text, expected):
    (tmp_path / "s.csv").write_text(text)
    assert folds_in(tmp_path / "s.csv")[0] == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.json", "{", "is not of the form of splits.json"),
        ("s.json", '{"splits": []}', "a split has no train or no test set"),
        ("s.csv", "slide,side\nu0,left\n", "has no columns fold_0, …, train and test, fold"),
        ("s.csv", "slide,fold\nx0,1\nx1,2\n", "no column has names of labelled units or patients"),
        ("s.csv", "slide,fold_0\nu0,train\nu2,west\n", "must be train, val or test, got 'west'"),
        ("s.csv", "slide,fold_0\nu0,train\nu1,test\n", "the patient of u0 is in train and test"),
        ("s.csv", ",train,val,test\nu0,True,False,False\n", "give CLAM's splits_0.csv"),
        ("s.csv", ",train,test\n0,u0,x9\n", "no labelled unit is in the test set of split 0"),
        ("none.json", None, "cannot be read"),
    ],
)  # fmt: skip
def test_split_file_errors(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        folds_in(tmp_path / name)


def test_a_folder_without_splits_errors(tmp_path):
    with pytest.raises(InputError, match=r"holds no splits_0\.csv"):
        folds_in(tmp_path)
