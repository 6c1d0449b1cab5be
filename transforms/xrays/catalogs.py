"""What is known of the films beside their pixels: a catalogue, joined by the film's name.

A catalogue is read once into an Arrow table of text, sorted by key, and searched by bisection:
MIMIC-CXR's 377,000 rows take some 90 MB in a process, however many threads look things up.
"""

from __future__ import annotations

import bisect
import csv
import dataclasses
import gzip
import io
import posixpath
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.sources import open_file

CatalogKind = Literal["mimic", "chexpert", "nih", "csv"]

# The columns of CheXpert's labeller, which are labels in whatever catalogue has them.
CHEXPERT_LABELS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
_REQUIRED = {
    "mimic": ("dicom_id", "subject_id", "study_id", "ViewPosition"),
    "chexpert": ("Path", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS),
    "nih": ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "View Position"),
}
# The columns that become columns of the rows; the key is the first.
_IDENTITY = {
    "mimic": ("dicom_id", "subject_id", "study_id", "ViewPosition"),
    "chexpert": ("Path", "", "", ""),
    "nih": ("Image Index", "Patient ID", "", "View Position"),
}
# A CheXpert film is known by patient, study and view, below whatever directory it lies.
_CHEXPERT_KEY_PARTS = 3
_UNKNOWN_VIEW = "UNKNOWN"


@dataclasses.dataclass(frozen=True)
class CatalogRow:
    """What a catalogue says of one film.

    Attributes:
      image_id: the film's key in the catalogue.
      labels: findings; 1 for present, 0 for absent, -1 for uncertain, left out where not stated.
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

    def __init__(self, kind: CatalogKind, table: pa.Table, columns: tuple[str, ...]) -> None:
        """Sort a table of text columns; use `load_catalog`.

        Args:
          kind: whose layout it has.
          table: one row a film.
          columns: those of key, patient, study and view; empty for what it has not.

        Raises:
          InputError: ``duplicate_key``, ``empty_key``.
        """
        self._kind = kind
        self._columns = columns
        keys = table.column(columns[0])
        if kind == "chexpert":
            keys = pc.replace_substring_regex(keys, r"^.*/((?:[^/]*/){2}[^/]*)$", r"\1")
        keys = keys.combine_chunks()
        order = pc.sort_indices(keys)
        self._keys = keys.take(order)
        self._most_parts = (pc.max(pc.count_substring(keys, "/")).as_py() or 0) + 1
        self._table = table.take(order)
        if len(keys) and not self._keys[0].as_py():
            raise InputError(Kind.EMPTY_KEY, f"line {order[0].as_py() + 2} has no {columns[0]}")
        same = pc.index(pc.equal(self._keys[1:], self._keys[:-1]), True).as_py()
        if same >= 0:
            first, second = sorted(order[i].as_py() + 2 for i in (same, same + 1))
            raise InputError(
                Kind.DUPLICATE_KEY,
                f"{columns[0]} {self._keys[same].as_py()!r} is on line {first} and on {second}",
            )

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, path: str) -> CatalogRow | None:
        """The row of a film, by as much of the end of its path as a key has, extension or not.

        Args:
          path: of the film: its source's uri, a slash, and the member's name.
        """
        parts = [part for part in path.split("/") if part]
        for start in range(max(0, len(parts) - self._most_parts), len(parts)):
            suffix = "/".join(parts[start:])
            for key in dict.fromkeys((suffix, posixpath.splitext(suffix)[0])):
                place = bisect.bisect_left(self._keys, key, key=pa.StringScalar.as_py)
                if place < len(self._keys) and self._keys[place].as_py() == key:
                    return self._row(place)
        return None

    def count_without(self, image_ids: Iterable[str], views: frozenset[str] = frozenset()) -> int:
        """How many rows, of the views asked for, are of none of these films."""
        found = pa.array(image_ids, pa.string())
        without = pc.invert(pc.is_in(self._keys, value_set=found))
        if views:
            wanted = pa.array(sorted(views), pa.string())
            without = pc.and_(without, pc.is_in(self._views(), value_set=wanted))
        return int(pc.sum(without).as_py() or 0)

    def _views(self) -> pa.ChunkedArray:
        """The view of every row, by the rule that `_row` has for one."""
        names = ("AP/PA", "Frontal/Lateral") if self._kind == "chexpert" else self._columns[3:]
        views: Any = pa.nulls(len(self), pa.string())
        for name in names:
            if name in self._table.column_names:
                said = pc.utf8_upper(pc.utf8_trim_whitespace(self._table.column(name)))
                views = pc.coalesce(views, pc.if_else(pc.equal(said, ""), None, said))
        return pc.fill_null(views, _UNKNOWN_VIEW)

    def _row(self, place: int) -> CatalogRow:
        text: dict[str, str] = self._table.slice(place, 1).to_pylist()[0]
        cells = {name: value.strip() for name, value in text.items() if name and value.strip()}
        labels = {name: float(cells.pop(name)) for name in CHEXPERT_LABELS if name in cells}
        key, patient, study, view = (cells.pop(name, None) for name in self._columns)
        if self._kind == "chexpert":
            key = self._keys[place].as_py()
            patient, study, view = _chexpert_identity(key, cells)
        elif self._kind == "nih":
            labels = dict.fromkeys(cells.pop("Finding Labels", "").split("|"), 1.0)
            # A patient's visits are numbered, and have no identifiers.
            study = f"{patient}_{cells.pop('Follow-up #', '')}"
        return CatalogRow(str(key), patient, study, view.upper() if view else None, labels, cells)


def load_catalog(kind: CatalogKind, uri: str, key_column: str = "") -> Catalog:
    """Read a catalogue, local or remote, plain or ``.gz``.

    Args:
      kind: ``mimic`` for mimic-cxr-2.0.0-metadata.csv, ``chexpert`` for train.csv or valid.csv,
        ``nih`` for Data_Entry_2017*.csv, ``csv`` for any other.
      uri: of the file.
      key_column: for ``csv``, the column that names the film: by file name or the end of its path,
        with its extension or without. Of its other columns ``patient_id``, ``study_id`` and
        ``view_position`` are known by name.

    Raises:
      InputError: ``unreadable_catalog``, ``missing_column``, ``duplicate_key``, ``empty_key``.
    """
    with open_file(uri) as file:
        data = file.read()
    try:
        data = gzip.decompress(data) if uri.lower().endswith(".gz") else data
        header = next(csv.reader(io.StringIO(data.partition(b"\n")[0].decode("utf-8-sig"))), [])
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(Kind.UNREADABLE_CATALOG, f"{uri}: {type(error).__name__}") from None
    columns = _IDENTITY.get(kind, (key_column, "patient_id", "study_id", "view_position"))
    wanted = _REQUIRED.get(kind, (key_column,))
    if missing := [name for name in wanted if name not in header]:
        raise InputError(
            Kind.MISSING_COLUMN, f"{uri} has no column {', '.join(map(repr, missing))}"
        )
    # Every cell is kept as it is written: a leading zero of an identifier is part of it.
    options = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
    )
    try:
        # Only a single thread knows the number of a row that it cannot read.
        one_by_one = arrow_csv.ReadOptions(use_threads=False)
        table = arrow_csv.read_csv(pa.BufferReader(data), one_by_one, convert_options=options)
        catalog = Catalog(kind, table, columns)
        _check_labels(table)
    except pa.ArrowInvalid as error:
        # Arrow quotes the row, which may be about a person: of its message only the numbers.
        place = re.search(r"Row #\d+: Expected \d+ columns, got \d+", str(error))
        reason = place.group() if place else "it is no table of comma-separated values"
        raise InputError(Kind.UNREADABLE_CATALOG, f"{uri}: {reason}") from None
    except InputError as error:
        raise InputError(error.kind, f"{uri}: {error.message}") from None
    return catalog


_LOADED: dict[tuple[str, ...], Catalog] = {}
_LOADING = threading.Lock()


def shared_catalog(kind: CatalogKind, uri: str, key_column: str = "") -> Catalog:
    """`load_catalog`, once in a process: every thread that asks gets the same one."""
    key = (kind, uri, key_column)
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = load_catalog(kind, uri, key_column)
        return _LOADED[key]


def wants_view(view: str | None, views: frozenset[str]) -> bool:
    """Whether a film is of a view asked for; all are where none is, and no view is ``UNKNOWN``."""
    return not views or (view or _UNKNOWN_VIEW) in views


def _chexpert_identity(
    key: str, cells: dict[str, str]
) -> tuple[str | None, str | None, str | None]:
    """Patient and study from the path; the view is the projection (AP, PA) or else the plane."""
    view = cells.pop("AP/PA", None) or cells.get("Frontal/Lateral")
    cells.pop("Frontal/Lateral", None)
    parts = key.split("/")
    if len(parts) != _CHEXPERT_KEY_PARTS:
        return None, None, view
    return parts[0], "/".join(parts[:2]), view


def _check_labels(table: pa.Table) -> None:
    for name in CHEXPERT_LABELS:
        if name in table.column_names:
            column: Any = pc.utf8_trim_whitespace(table.column(name))
            try:
                pc.cast(pc.if_else(pc.equal(column, ""), "0", column), pa.float32())
            except pa.ArrowInvalid:
                raise InputError(
                    Kind.UNREADABLE_CATALOG, f"column {name!r} holds something that is no number"
                ) from None
