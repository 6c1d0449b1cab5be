"""Join a dataset with its labels: units, their patients, and the rows of the dataset of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.tables import matching
from beamscope.transforms.probe.tables.label_file import Table
from beamscope.transforms.probe.tables.names import matching as taken_by
from beamscope.transforms.probe.tables.targets import Policy, guess_task, make_target
from beamscope.transforms.probe.target import Target, Task
from beamscope.transforms.probe.units import Units
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


@dataclasses.dataclass(frozen=True)
class LabelSettings:
    """What of a table is a label, and who it belongs to.

    Attributes:
      target: columns of labels; empty to take the only column called ``label``, or ``target``.
      time: column of times for survival.
      event: column of events for survival.
      task: what is predicted; None to guess it from the cells.
      key: column that names items or patients; None for the one that names the most.
      unit: column whose equal cells make one unit; None for the key.
      groups: column of patients; None for one that is named so.
      group_pattern: regular expression that takes the patient from the key.
      policy: for uncertain and blank labels.
    """

    target: tuple[str, ...] = ()
    time: str | None = None
    event: str | None = None
    task: Task | None = None
    key: str | None = None
    unit: str | None = None
    groups: str | None = None
    group_pattern: str | None = None
    policy: Policy = dataclasses.field(default_factory=Policy)


@dataclasses.dataclass(frozen=True, eq=False)
class Cohort:
    """Labelled units of one or more datasets that hold the same units.

    Attributes:
      units: the units.
      of_rows: for each dataset the unit of each of its rows, -1 for none.
      columns: the columns that were used: key, unit, groups, target.
      notes: what was assumed or left out, a sentence each.
    """

    units: Units
    of_rows: tuple[Ints, ...]
    columns: dict[str, str]
    notes: tuple[str, ...]


def join(
    datasets: Sequence[DatasetRows],
    table: Table,
    settings: LabelSettings,
    slide_table: Table | None = None,
    classes: Sequence[str] | None = None,
    *,
    secondary: bool = False,
) -> Cohort:
    """Join datasets of the same items with a table of labels; a unit must be in each dataset.

    Args:
      datasets: the datasets.
      table: the labels.
      settings: its columns.
      slide_table: patients and slide files, where labels are of patients.
      classes: names of the classes of the first dataset.
      secondary: whether the settings were made for another table, so that a pattern of patients may
        match nothing.

    Raises:
      InputError: ``bad_labels`` or ``missing_column``: the table does not fit.
    """
    notes: list[str] = []
    names = _target_columns(table, settings)
    items = [matching.items_of(rows) for rows in datasets]
    patients: list[str | None] | None = None
    if slide_table is not None:
        named = [matching.with_slide_table(some, slide_table, table) for some in items]
        items, patients = [some for some, _ in named], named[0][1]
        lost = sum(patient is None for patient in patients)
        if lost:
            notes.append(f"{lost:,} items are not in the slide table and are left out")
    key = settings.key or matching.best_key(table, items[0], but=names)
    keys = table.column(key, "--key")

    cells = [table.columns[name] for name in names]
    task = settings.task or guess_task(cells, survival=settings.time is not None)
    target, labelled = make_target(task, names, cells, settings.policy, classes)
    lost = len(table) - len(labelled)
    if lost:
        what = " or are of a class that the other dataset lacks" if classes else ""
        notes.append(f"{lost:,} rows of the labels have no label{what}, and are left out")

    unit_column = settings.unit or key
    unit_cells = table.column(unit_column, "--unit")
    groups, group_column = _group_cells(table, keys, key, settings, secondary)
    units, unit_of_label = _merge(labelled, target, unit_cells, groups, notes)
    if group_column is None and slide_table is None:
        notes.append(
            "no column of patients: each unit counts as a patient of its own (--groups, "
            "--group_pattern)"
        )

    of_rows = []
    for dataset, some in zip(datasets, items, strict=True):
        rows = matching.label_rows(some, keys)
        of_items = np.where(rows >= 0, unit_of_label[rows], -1)
        unlabelled = int((of_items < 0).sum())
        if unlabelled:
            notes.append(f"{unlabelled:,} of {len(of_items):,} items of the dataset have no label")
        of_dataset = of_items[some.of_row]
        if (lacking := dataset.lacking()) is not None:
            # So that models are compared on the same rows.
            of_dataset = np.where(lacking, -1, of_dataset)
            notes.append(
                f"{int(lacking.sum()):,} rows have no embedding of one of the models, and are left "
                "out for all"
            )
        of_rows.append(of_dataset)
    units, of_rows = _present(units, of_rows, notes)
    shown = {"key": key, "unit": unit_column, "target": ", ".join(names), "task": task,
             "groups": group_column or unit_column}  # fmt: skip
    return Cohort(units, tuple(of_rows), shown, tuple(notes))


def _target_columns(table: Table, settings: LabelSettings) -> tuple[str, ...]:
    if settings.time is not None or settings.event is not None:
        if settings.time is None or settings.event is None:
            raise InputError(Kind.BAD_OPTION, "--time and --event must be given together")
        table.column(settings.time, "--time")
        table.column(settings.event, "--event")
        return settings.time, settings.event
    for name in settings.target:
        table.column(name, "--target")
    if settings.target:
        return settings.target
    usual = [name for name in table.columns if name.lower() in ("label", "target")]
    if len(usual) != 1:
        raise InputError(
            Kind.BAD_LABELS,
            f"{table.source}: which column is the label? give --target; the table has "
            + ", ".join(table.columns),
        )
    return (usual[0],)


def _group_cells(
    table: Table, keys: Sequence[str | None], key: str, settings: LabelSettings, secondary: bool
) -> tuple[list[str | None], str | None]:
    """Return the patient of each row, and what named it; None where nothing did."""
    if settings.group_pattern is not None:
        found = [None if cell is None else taken_by(settings.group_pattern, cell) for cell in keys]
        if any(found):
            return found, f"--group_pattern {settings.group_pattern} of {key}"
        if not secondary:
            raise InputError(
                Kind.BAD_OPTION,
                f"--group_pattern {settings.group_pattern}: matches no cell of column {key!r}",
            )
    if settings.groups is not None:
        return table.column(settings.groups, "--groups"), settings.groups
    named = [name for name in table.columns if matching.is_patient_column(name)]
    if named:
        return table.columns[named[0]], named[0]
    return [None] * len(table), None


def _merge(
    labelled: Sequence[int],
    target: Target,
    unit_cells: Sequence[str | None],
    groups: Sequence[str | None],
    notes: list[str],
) -> tuple[Units, Ints]:
    """Return the units, and the unit of each row of the table, -1 for none."""
    of_label = np.full(len(unit_cells), -1, np.int64)
    first: dict[str, int] = {}
    kept: list[int] = []
    group_of: list[str] = []
    ungrouped = 0
    for place, row in enumerate(labelled):
        name = unit_cells[row]
        if name is None:
            continue
        group = groups[row]
        if name not in first:
            first[name] = len(first)
            kept.append(place)
            ungrouped += group is None
            # A prefix keeps a unit's own name from being taken for a patient's.
            group_of.append(f"unit {name}" if group is None else f"patient {group}")
        else:
            unit = first[name]
            if not np.array_equal(target.values[place], target.values[kept[unit]], equal_nan=True):
                raise InputError(
                    Kind.BAD_LABELS, f"{name}: two rows of the labels say different things of it"
                )
            if group is not None and group_of[unit] != f"patient {group}":
                raise InputError(
                    Kind.BAD_LABELS, f"{name}: two rows of the labels name different patients"
                )
        of_label[row] = first[name]
    if ungrouped and any(groups):
        notes.append(f"{ungrouped:,} units have no patient: each counts as a patient of its own")
    _, numbers = np.unique(group_of, return_inverse=True)
    patients = tuple(name.partition(" ")[2] for name in group_of)
    kept_target = target.take(np.array(kept, np.int64))
    return Units(tuple(first), kept_target, numbers.astype(np.int64), patients), of_label


def _present(units: Units, of_rows: list[Ints], notes: list[str]) -> tuple[Units, list[Ints]]:
    """Return the units that have rows in every dataset, numbered anew."""
    present = np.ones(len(units), bool)
    for some in of_rows:
        present &= np.isin(np.arange(len(units)), some)
    lost = int((~present).sum())
    if lost:
        notes.append(f"{lost:,} of {len(units):,} labelled units have no embedding")
    if not present.any():
        raise InputError(Kind.BAD_LABELS, "no labelled unit has an embedding in every dataset")
    return keep_units(units, of_rows, np.flatnonzero(present))


def keep_units(units: Units, of_rows: Sequence[Ints], kept: Ints) -> tuple[Units, list[Ints]]:
    """Return some of the units, and rows whose unit was not kept under -1."""
    number = np.full(len(units) + 1, -1, np.int64)
    number[kept] = np.arange(len(kept))
    return units.take(kept), [number[some] for some in of_rows]


def labels_of_dataset(rows: DatasetRows) -> Table:
    """Return the labels that a dataset holds: of folders, of a table of labels, or of a catalogue.

    Raises:
      InputError: ``bad_labels`` if it holds none.
    """
    table = rows.columns(["image_id", "slide_id", "patient_id", "label", "labels", "catalog"])
    columns: dict[str, list[str | None]] = {
        name: [None if cell is None else str(cell) for cell in table[name].to_pylist()]
        for name in table.column_names
        if not pa.types.is_map(table.schema.field(name).type)
    }
    for name in ("labels", "catalog"):
        if name in table.column_names:
            for key, cells in _columns_of_maps(table[name].to_pylist()).items():
                columns.setdefault(key, cells)
    if len(columns) < 2:
        raise InputError(
            Kind.BAD_LABELS, f"{rows.root}: the dataset holds no labels; give --labels FILE"
        )
    return Table(rows.root, {name: [cell or None for cell in cells]
                             for name, cells in columns.items() if any(cells)})  # fmt: skip


def _columns_of_maps(
    maps: Sequence[Sequence[tuple[str, Any]] | None],
) -> dict[str, list[str | None]]:
    """Return a column for each key that occurs in the maps, in order of their first occurrence."""
    keys = dict.fromkeys(key for found in maps for key, _ in found or ())
    columns: dict[str, list[str | None]] = {key: [None] * len(maps) for key in keys}
    for place, found in enumerate(maps):
        for key, value in found or ():
            if value is not None:
                columns[key][place] = f"{value:g}" if isinstance(value, float) else str(value)
    return columns
