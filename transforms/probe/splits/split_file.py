"""Files of splits: our own splits.json, and those of STAMP, Patho-Bench and CLAM.

| file | form |
|---|---|
| ours | ``{"splits": [{"train": [...], "test": [...]}, …]}``, names of units |
| STAMP's splits.json | ``{"splits": [{"train_patients": [...], "test_patients": [...]}, …]}`` |
| Patho-Bench's k=all.tsv | columns ``fold_0``, ``fold_1``, … of ``train``, ``val`` or ``test`` |
| CLAM's splits_0.csv | columns ``train``, ``val``, ``test`` of slide ids; also a folder of them |
| any CSV | a column of names and a column ``fold`` or ``split`` |
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.splits.folds import Fold
from beamscope.transforms.probe.tables.label_file import Table, read_table
from beamscope.transforms.probe.tables.names import names_of, plain_name
from beamscope.transforms.probe.units import Units
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

_FOLD_COLUMN = re.compile(r"fold_(\d+)")
_CLAM_FILE = re.compile(r"splits_(\d+)\.csv")
_TRAIN, _TEST, _OTHER = "train", "test", "val"


@dataclasses.dataclass(frozen=True)
class NamedSplit:
    """A split as a file has it.

    Attributes:
      train: names of units or patients that train.
      test: names of those that test.
      other: names of those that do neither: a validation set.
    """

    train: frozenset[str]
    test: frozenset[str]
    other: frozenset[str] = frozenset()


def write_splits(path: str, units: Units, folds: Sequence[Fold], about: Mapping[str, Any]) -> None:
    """Write the folds of a run as ``splits.json``.

    Args:
      path: of the file.
      units: the units.
      folds: places of the units of each fold.
      about: more JSON values, such as the seed.
    """
    content = {
        **about,
        "splits": [
            {
                _TRAIN: [units.names[place] for place in fold.train],
                _TEST: [units.names[place] for place in fold.test],
            }
            for fold in folds
        ],
    }
    files.write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def read_back(path: str, units: Units) -> list[Fold]:
    """Return the folds of a ``splits.json`` that `write_splits` wrote for these units."""
    place_of = {name: place for place, name in enumerate(units.names)}
    return [
        Fold(*(np.array([place_of[name] for name in split[part]], np.int64)
               for part in (_TRAIN, _TEST)))
        for split in json.loads(files.read_bytes(path))["splits"]
    ]  # fmt: skip


def known_names(units: Units) -> list[frozenset[str]]:
    """Return what a file of splits may call each unit: the ends of its name, and its patient."""
    return [
        frozenset((*names_of(name), plain_name(patient)))
        for name, patient in zip(units.names, units.patients, strict=True)
    ]


def read_splits(path: str, known: Sequence[frozenset[str]], flag: str) -> list[NamedSplit]:
    """Read splits from a file, or a folder of CLAM's.

    Args:
      path: of the file or folder.
      known: names of each unit; of several columns the one with the most of these names is taken.
      flag: the flag, for messages.

    Raises:
      InputError: ``bad_splits`` if it is none of the known forms.
    """
    try:
        found = _read(path, frozenset().union(*known), flag)
    except OSError as error:
        raise InputError(Kind.BAD_SPLITS, f"{flag} {path}: cannot be read: {error}") from error
    if not found or not all(split.test and split.train for split in found):
        raise InputError(Kind.BAD_SPLITS, f"{flag} {path}: a split has no train or no test set")
    return found


def _read(path: str, known: frozenset[str], flag: str) -> list[NamedSplit]:
    if path.endswith(".json"):
        return _from_json(path, flag)
    if files.is_directory(path):
        listed = [file.path for file in files.list_files(path, recursive=False)]
        numbered = sorted(
            (int(match[1]), file)
            for file in listed
            if (match := _CLAM_FILE.fullmatch(file.rsplit("/", 1)[-1]))
        )
        if not numbered:
            raise InputError(Kind.BAD_SPLITS, f"{flag} {path}: holds no splits_0.csv")
        return [split for _, file in numbered
                for split in _from_table(read_table(file, flag), known)]  # fmt: skip
    return _from_table(read_table(path, flag), known)


def _from_json(path: str, flag: str) -> list[NamedSplit]:
    try:
        splits = json.loads(files.read_bytes(path))["splits"]
        return [
            NamedSplit(
                _plain(split.get("train") or split["train_patients"]),
                _plain(split.get("test") or split["test_patients"]),
            )
            for split in splits
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            Kind.BAD_SPLITS,
            f"{flag} {path}: is not of the form of splits.json (splits, train, test)",
        ) from error


def _from_table(table: Table, known: frozenset[str]) -> list[NamedSplit]:
    numbered = sorted(
        (int(match[1]), name) for name in table.columns if (match := _FOLD_COLUMN.fullmatch(name))
    )
    if numbered:
        return [_of_roles(table, name, known) for _, name in numbered]
    if {_TRAIN, _TEST} <= set(table.columns):
        if {cell and cell.lower() for cell in table.columns[_TRAIN]} <= {"true", "false"}:
            # Its first column, of slides, has no name in the header, and such columns are not read.
            raise InputError(
                Kind.BAD_SPLITS,
                f"{table.source}: give CLAM's splits_0.csv, not its splits_0_bool.csv",
            )
        return [
            NamedSplit(*(_plain(table.columns.get(name, ())) for name in (_TRAIN, _TEST, _OTHER)))
        ]
    for name in ("fold", "split"):
        if name in table.columns:
            return _of_folds(table, name, known)
    raise InputError(
        Kind.BAD_SPLITS,
        f"{table.source}: has no columns fold_0, …, train and test, fold, or split; it has "
        + ", ".join(table.columns),
    )


def _of_roles(table: Table, column: str, known: frozenset[str]) -> NamedSplit:
    """Return the split of a column of train, val and test."""
    names: dict[str, set[str]] = {_TRAIN: set(), _TEST: set(), _OTHER: set()}
    for name, role in zip(_names(table, column, known), table.columns[column], strict=True):
        if role is None or name is None:
            continue
        part = _OTHER if role.lower().startswith(_OTHER) else role.lower()
        if part not in names:
            raise InputError(
                Kind.BAD_SPLITS,
                f"{table.source}: column {column} must be train, val or test, got {role!r}",
            )
        names[part].add(plain_name(name))
    return NamedSplit(*(frozenset(names[part]) for part in (_TRAIN, _TEST, _OTHER)))


def _of_folds(table: Table, column: str, known: frozenset[str]) -> list[NamedSplit]:
    """Return the splits of a column of folds, each of which tests once; or of roles."""
    cells = table.columns[column]
    folds = sorted({cell for cell in cells if cell is not None})
    if _TEST in {fold.lower() for fold in folds}:
        return [_of_roles(table, column, known)]
    names = _names(table, column, known)
    return [
        NamedSplit(
            _plain(
                name for name, cell in zip(names, cells, strict=True) if cell not in (None, fold)
            ),
            _plain(name for name, cell in zip(names, cells, strict=True) if cell == fold),
        )
        for fold in folds
    ]


def _names(table: Table, but: str, known: frozenset[str]) -> list[str | None]:
    """Return the cells of the column that has the most names of units."""
    found = {
        name: len(known & _plain(cells)) for name, cells in table.columns.items()
        if name != but and not _FOLD_COLUMN.fullmatch(name)
    }  # fmt: skip
    best = max(found, key=lambda name: found[name], default="")
    if not best or not found[best]:
        raise InputError(
            Kind.BAD_SPLITS, f"{table.source}: no column has names of labelled units or patients"
        )
    return table.columns[best]


def _plain(cells: Iterable[str | None]) -> frozenset[str]:
    return frozenset(plain_name(str(cell)) for cell in cells if cell is not None)


def folds_of(
    splits: Sequence[NamedSplit], units: Units, known: Sequence[frozenset[str]], flag: str
) -> tuple[list[Fold], list[str]]:
    """Return the folds of some units, and notes about what a file leaves out.

    Args:
      splits: as a file has them.
      units: the units.
      known: names of each unit.
      flag: the flag and path of the file, for messages.

    Raises:
      InputError: ``bad_splits`` if a fold would have no unit to train or test, or a patient would
        be in both.
    """
    folds, notes = [], []
    unused, absent = 0, 0
    for place, split in enumerate(splits):
        train, test = _places(known, split.train), _places(known, split.test)
        for noun, part in (("train", train), ("test", test)):
            if not len(part):
                raise InputError(
                    Kind.BAD_SPLITS,
                    f"{flag}: no labelled unit is in the {noun} set of split {place}; units are "
                    f"called {', '.join(units.names[:2])}",
                )
        both = np.intersect1d(units.groups[train], units.groups[test])
        if len(both):
            (unit, *_) = train[units.groups[train] == both[0]]
            raise InputError(
                Kind.BAD_SPLITS,
                f"{flag}: in split {place} the patient of {units.names[unit]} is in train and test",
            )
        unused += len(_places(known, split.other))
        absent += len(units) - len(train) - len(test) - len(_places(known, split.other))
        folds.append(Fold(train, test))
    if unused:
        notes.append(
            f"validation sets of the splits are not used: {unused:,} units over all splits"
        )
    if absent:
        notes.append(f"{absent:,} units over all splits are not in the split file and are left out")
    return folds, notes


def _places(known: Sequence[frozenset[str]], wanted: frozenset[str]) -> Ints:
    found = [place for place, own in enumerate(known) if not wanted.isdisjoint(own)]
    return np.array(found, np.int64)
