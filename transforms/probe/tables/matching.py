"""Find the row of a label table that belongs to each row of a dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.tables.label_file import Table
from beamscope.transforms.probe.tables.names import Index, names_of, plain_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Items that are looked up to find the column of keys.
_SAMPLE = 2000
_PATIENT_COLUMNS = frozenset({
    "patient", "patientid", "case", "caseid", "subject", "subjectid", "participantid",
})  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Items:
    """The items of a dataset: slides, films or images.

    Attributes:
      ids: name of each item.
      names: what a table may call each item, the best name first.
      whole: its whole names, of which a table may write more, such as folders before it.
      of_row: item of each row of the dataset.
    """

    ids: list[str]
    names: list[list[str]]
    whole: list[list[str]]
    of_row: Ints

    def rows_in(self, index: Index) -> list[int | None]:
        """Return the row of each item in the index of a table."""
        return [index.find(*both) for both in zip(self.names, self.whole, strict=True)]


def is_patient_column(name: str) -> bool:
    """Return whether a column is named like one of patients, such as ``case_id``."""
    return "".join(filter(str.isalpha, name.lower())) in _PATIENT_COLUMNS


def items_of(rows: DatasetRows) -> Items:
    """Return the items of a dataset with their names: id, path in the source, patient."""
    if not rows.of_slides:
        table = rows.columns(["image_id", "member", "patient_id"])
        ids = table["image_id"].to_pylist()
        paths = table["member"].to_pylist() if "member" in table.column_names else ids
        patients = (
            table["patient_id"].to_pylist()
            if "patient_id" in table.column_names
            else [None] * len(ids)
        )
        names = [
            [*names_of(name), *names_of(path or name), *([plain_name(patient)] if patient else [])]
            for name, path, patient in zip(ids, paths, patients, strict=True)
        ]
        whole = [
            [plain_name(name), plain_name(path or name)]
            for name, path in zip(ids, paths, strict=True)
        ]
        return Items(ids, names, whole, np.arange(len(ids)))
    column = rows.columns(["slide_id"])["slide_id"].combine_chunks().dictionary_encode()
    ids = column.dictionary.to_pylist()
    patients_of = _patients_of_slides(rows)
    names = [[*names_of(name), *patients_of.get(name, [])] for name in ids]
    whole = [[plain_name(name)] for name in ids]
    return Items(ids, names, whole, column.indices.to_numpy().astype(np.int64))


def _patients_of_slides(rows: DatasetRows) -> dict[str, list[str]]:
    """Return the patients that the manifest named, from ``slides.parquet``."""
    table = rows.item_table()
    columns = [name for name in table.column_names if is_patient_column(name)]
    found: dict[str, list[str]] = {}
    for row in table.select(["slide_id", *columns]).to_pylist() if columns else ():
        found[row["slide_id"]] = [plain_name(row[name]) for name in columns if row[name]]
    return found


def with_slide_table(items: Items, slides: Table, labels: Table) -> tuple[Items, list[str | None]]:
    """Return the items under the names of their patients, and the patient of each.

    Args:
      items: the slides of a dataset.
      slides: a table of patients and slide files, such as STAMP's PATIENT and FILENAME.
      labels: the table of patients and labels.

    Raises:
      InputError: ``bad_labels`` if no column names slides, or none patients.
    """
    # By the slides' own names: the manifest may have named their patients.
    by_id = Items(items.ids, [names_of(name) for name in items.ids], items.whole, items.of_row)
    file_column = best_key(slides, by_id, but=())
    others = [name for name in slides.columns if name != file_column]
    shared = [name for name in others if name in labels.columns]
    patients = [*shared, *(name for name in others if is_patient_column(name))]
    if not patients:
        raise InputError(
            Kind.BAD_LABELS,
            f"{slides.source}: no column of patients; it has {', '.join(slides.columns)}",
        )
    cells = slides.columns[patients[0]]
    index = Index.of(slides.columns[file_column])
    places = by_id.rows_in(index)
    of_items = [None if place is None else cells[place] for place in places]
    names = [[] if patient is None else [plain_name(patient)] for patient in of_items]
    return Items(items.ids, names, [[] for _ in names], items.of_row), of_items


def best_key(table: Table, items: Items, but: Sequence[str]) -> str:
    """Return the column whose cells name the most items.

    Args:
      table: a table.
      items: the items of a dataset.
      but: columns that are none.

    Raises:
      InputError: ``bad_labels`` if no column names any of them.
    """
    step = max(1, len(items.names) // _SAMPLE)
    some = Items(items.ids, items.names[::step], items.whole[::step], items.of_row)
    found = {
        name: sum(place is not None for place in some.rows_in(index))
        for name, index in (
            (name, Index.of(cells)) for name, cells in table.columns.items() if name not in but
        )
    }
    best = max(found, key=lambda name: found[name], default="")
    if not best or not found[best]:
        raise InputError(
            Kind.BAD_LABELS,
            f"{table.source}: no column names an item of the dataset; the table has "
            f"{'; '.join(_examples(table))}; the dataset has items such as "
            f"{', '.join(items.ids[:2]) or 'none'}; give --key, or --slide_table",
        )
    return best


def label_rows(items: Items, cells: Sequence[str | None]) -> Ints:
    """Return the place in a column of keys for each item, -1 where it has none."""
    found = items.rows_in(Index.of(cells))
    return np.array([-1 if place is None else place for place in found], np.int64)


def _examples(table: Table) -> Iterator[str]:
    for name, cells in list(table.columns.items())[:4]:
        known = [cell for cell in cells[:3] if cell is not None]
        yield f"{name} ({', '.join(known[:2])})"
