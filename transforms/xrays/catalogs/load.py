"""Load catalogues from files, each once in a process."""

from __future__ import annotations

import threading

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.sources import open_file
from beamscope.transforms.sources.tables.read_csv import LARGEST, read_csv
from beamscope.transforms.xrays.catalogs.catalog import Catalog
from beamscope.transforms.xrays.catalogs.layouts import CatalogKind, NamedColumns, layout_of

_NONE_NAMED = NamedColumns()
# A message shows no more of a header than helps to see what is wrong with it.
_MOST_COLUMNS_SHOWN = 12


def load_catalog(
    kind: CatalogKind, uri: str, key_column: str = "", named: NamedColumns = _NONE_NAMED
) -> Catalog:
    """Read a catalogue, local or remote, plain or gzipped.

    Args:
      kind: ``mimic`` for mimic-cxr-2.0.0-metadata.csv, ``chexpert`` for train.csv or valid.csv,
        ``nih`` for Data_Entry_2017*.csv, ``csv`` for any other.
      uri: of the file.
      key_column: for ``csv``, the column that names the film: by file name or the end of its path,
        with its ending or without.
      named: for ``csv``, other columns that are known by a name of their own.

    Raises:
      InputError: ``unreadable_file``, ``unreadable_catalog``, ``missing_column``,
        ``duplicate_key``, ``empty_key``.
    """
    with open_file(uri) as file:
        data = file.read(LARGEST + 1)
    layout = layout_of(kind, key_column, named)
    try:
        table = read_csv(data)
        names = table.columns.column_names
        if missing := [name for name in layout.required if name not in names]:
            shown = ", ".join(map(repr, names[:_MOST_COLUMNS_SHOWN]))
            raise InputError(
                Kind.MISSING_COLUMN,
                f"it has no column {', '.join(map(repr, missing))}; it has {shown or 'none'}"
                + (", separated by commas" if len(names) == 1 else ""),
            )
        return Catalog(kind, layout, table)
    except InputError as error:
        raise InputError(error.kind, f"{uri}: {error.message}") from None


_LOADED: dict[tuple[object, ...], Catalog] = {}
_LOADING = threading.Lock()


def shared_catalog(
    kind: CatalogKind, uri: str, key_column: str = "", named: NamedColumns = _NONE_NAMED
) -> Catalog:
    """Load a catalogue once in a process: every thread that asks gets the same one."""
    key = (kind, uri, key_column, named)
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = load_catalog(kind, uri, key_column, named)
        return _LOADED[key]
