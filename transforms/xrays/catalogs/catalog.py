"""A catalogue in memory: the rows of films, found by the film's path.

A catalogue is read once into an Arrow table of text, sorted by key, and searched by bisection:
MIMIC-CXR's 377,000 rows take some 90 MB in a process, however many threads look things up.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.extra_columns import typed_column
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.tables.keys import keys_of_path, normal_keys
from beamscope.transforms.sources.tables.read_csv import CsvTable
from beamscope.transforms.xrays.catalogs.layouts import (
    CHEXPERT_LABELS,
    CHEXPERT_PLANE,
    CHEXPERT_PROJECTION,
    NIH_VISIT,
    CatalogKind,
    Layout,
)

# A CheXpert film is known by patient, study and view, below whatever directory it lies.
_CHEXPERT_KEY = r"^.*/((?:[^/]*/){2}[^/]*)$"
_CHEXPERT_KEY_PARTS = 3
UNKNOWN_VIEW = "UNKNOWN"
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


@dataclasses.dataclass(frozen=True)
class CatalogRow:
    """One film, as its catalogue describes it.

    Attributes:
      image_id: the film's key in the catalogue.
      labels: findings; 1 for present, 0 for absent, -1 for uncertain; none where none is stated.
      fields: every other column that is not blank, as it is written.
    """

    image_id: str
    patient_id: str | None
    study_id: str | None
    view_position: str | None
    labels: Mapping[str, float]
    fields: Mapping[str, str]


class Catalog:
    """A catalogue in memory; immutable, so that threads may share it."""

    def __init__(self, kind: CatalogKind, layout: Layout, table: CsvTable) -> None:
        """Sort a table by its keys; use `load_catalog`.

        Raises:
          InputError: ``duplicate_key``, ``empty_key``, ``unreadable_catalog``.
        """
        self._kind = kind
        self._layout = layout
        written = pc.utf8_trim_whitespace(table.columns[layout.key].combine_chunks())
        keys = normal_keys(written)
        if kind == "chexpert":
            keys = pc.replace_substring_regex(keys, _CHEXPERT_KEY, r"\1")
            written = keys
        order = pc.sort_indices(keys)
        self._keys = keys.take(order)
        self._written = written.take(order)
        self._table = table.columns.take(order)
        self._most_parts = (pc.max(pc.count_substring(keys, "/")).as_py() or 0) + 1
        lines = table.lines[order.to_numpy()]
        if len(keys) and not self._keys[0].as_py():
            raise InputError(Kind.EMPTY_KEY, f"line {lines[0]} has no {layout.key}")
        same = pc.index(pc.equal(self._keys[1:], self._keys[:-1]), True).as_py()
        if same >= 0:
            first, second = sorted(lines[same : same + 2])
            raise InputError(
                Kind.DUPLICATE_KEY,
                f"{layout.key} {self._keys[same].as_py()!r} is on line {first} and on {second}",
            )
        self._numbers = self._number_columns()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, path: str) -> CatalogRow | None:
        """Return the row of a film, by as much of the end of its path as a key has.

        Keys and paths are compared as `normal_key` writes them.

        Args:
          path: of the film: its source's uri, a slash, and the member's name.
        """
        place = self._place(path)
        return None if place is None else self._row(place)

    def _place(self, path: str) -> int | None:
        for key in keys_of_path(path, self._most_parts):
            place = bisect.bisect_left(self._keys, key, key=pa.StringScalar.as_py)
            if place < len(self._keys) and self._keys[place].as_py() == key:
                return place
        return None

    def extra_columns(self, paths: Iterable[str]) -> pa.Table:
        """Return the columns of films that say more than which film it is, and of what and whom.

        Columns of labels are float64 as in `CatalogRow.labels`; others are numbers where every
        cell of the catalogue clearly is one, else text.

        Args:
          paths: of the films, see `find`.

        Returns:
          one row for each path, null throughout for a film that is not in the catalogue.
        """
        rows = pa.array([self._place(path) for path in paths], pa.int64())
        return pa.table({
            name: self._typed(name).take(rows) for name in self.extra_names()
        })  # fmt: skip

    def extra_names(self) -> list[str]:
        """Return the names of those columns, in the order of the catalogue."""
        layout = self._layout
        known = {layout.key, layout.patient, layout.study, layout.view}
        return [name for name in self._table.column_names if name not in known]

    def _typed(self, name: str) -> pa.ChunkedArray:
        column = self._table.column(name)
        if name not in self._numbers:
            return typed_column(column)
        numbers = {cell: _number(cell.strip()) for cell in pc.unique(column).to_pylist()}
        return pa.chunked_array([pa.array(
            [None if math.isnan(numbers[cell]) else numbers[cell] for cell in column.to_pylist()],
            pa.float64(),
        )])  # fmt: skip

    def first_key(self) -> str | None:
        """Return one of its keys as it is written, to be shown where no film has any."""
        return self._written[0].as_py() if len(self) else None

    def count_without(self, image_ids: Iterable[str], views: frozenset[str] = frozenset()) -> int:
        """Count the rows, of the views asked for, that are of none of these films."""
        found = pa.array(image_ids, pa.string())
        without = pc.invert(pc.is_in(self._written, value_set=found))
        if views:
            wanted = pa.array(sorted(views), pa.string())
            without = pc.and_(without, pc.is_in(self._views(), value_set=wanted))
        return int(pc.sum(without).as_py() or 0)

    def count_views(self) -> dict[str, int]:
        """Count the rows of each view; those that name none are of the view ``UNKNOWN``."""
        counted = pc.value_counts(pc.cast(self._views(), pa.string())).to_pylist()
        return {item["values"]: item["counts"] for item in counted}

    def _views(self) -> pa.ChunkedArray:
        """Return the view of every row, by the rule that `_row` has for one."""
        names = (
            (CHEXPERT_PROJECTION, CHEXPERT_PLANE)
            if self._kind == "chexpert"
            else (self._layout.view,)
        )
        views: Any = pa.nulls(len(self), pa.string())
        for name in names:
            if name in self._table.column_names:
                said = pc.utf8_upper(pc.utf8_trim_whitespace(self._table.column(name)))
                views = pc.coalesce(views, pc.if_else(pc.equal(said, ""), None, said))
        return pc.fill_null(views, UNKNOWN_VIEW)

    def _row(self, place: int) -> CatalogRow:
        layout = self._layout
        text: dict[str, str] = self._table.slice(place, 1).to_pylist()[0]
        cells = {name: value.strip() for name, value in text.items() if value.strip()}
        labels: dict[str, float] = {}
        for name in self._numbers:
            if name in cells:
                labels[name] = _number(cells.pop(name))
        for name in layout.findings:
            found = (finding.strip() for finding in cells.pop(name, "").split("|"))
            labels |= {finding: 1.0 for finding in found if finding}
        cells.pop(layout.key, None)
        patient, study, view = (
            cells.pop(name, None) for name in (layout.patient, layout.study, layout.view)
        )
        key = self._written[place].as_py()
        if self._kind == "chexpert":
            patient, study, view = _chexpert_identity(key, cells)
        elif self._kind == "nih":
            # A patient's visits are numbered, and have no identifiers.
            visit = cells.pop(NIH_VISIT, None)
            study = f"{patient}_{visit}" if patient and visit else None
        return CatalogRow(key, patient, study, view.upper() if view else None, labels, cells)

    def _number_columns(self) -> tuple[str, ...]:
        """Return the label columns that hold only numbers, or yes and no."""
        known = [name for name in CHEXPERT_LABELS if name in self._table.column_names]
        for name in known:
            if any(math.isnan(value) for value in self._values(name)):
                raise InputError(
                    Kind.UNREADABLE_CATALOG, f"column {name!r} holds something that is no number"
                )
        for name in self._layout.findings:
            values = self._values(name)
            words = sum(map(math.isnan, values))
            if words and words < len(values):
                raise InputError(
                    Kind.UNREADABLE_CATALOG, f"column {name!r} holds numbers as well as findings"
                )
            if not words and name not in known:
                known.append(name)
        return tuple(known)

    def _values(self, name: str) -> list[float]:
        """Return the different cells of a column that are not blank, as numbers; NaN for words."""
        cells = pc.unique(pc.utf8_trim_whitespace(self._table.column(name))).to_pylist()
        return [_number(cell) for cell in cells if cell]


def wants_view(view: str | None, views: frozenset[str]) -> bool:
    """Return whether a film is of a view asked for.

    Every film is where no view is asked for. A film without a view is of the view ``UNKNOWN``.
    """
    return not views or (view or UNKNOWN_VIEW) in views


def _number(cell: str) -> float:
    """Return a cell as a number; NaN for anything else, infinity too."""
    try:
        value = _WORDS[cell.lower()] if cell.lower() in _WORDS else float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _chexpert_identity(
    key: str, cells: dict[str, str]
) -> tuple[str | None, str | None, str | None]:
    """Return patient and study from the path, and the projection (AP, PA) or else the plane."""
    view = cells.pop(CHEXPERT_PROJECTION, None) or cells.get(CHEXPERT_PLANE)
    cells.pop(CHEXPERT_PLANE, None)
    parts = key.split("/")
    if len(parts) != _CHEXPERT_KEY_PARTS:
        return None, None, view
    return parts[0], "/".join(parts[:2]), view
