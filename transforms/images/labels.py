"""Labels of images: a CSV of the user, or the folders that the images lie in."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import hashlib
import posixpath
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.extra_columns import typed_column
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.sources import open_file
from beamscope.transforms.sources.tables.keys import keys_of_path, normal_keys
from beamscope.transforms.sources.tables.read_csv import LARGEST, read_csv

# A message shows no more of a header than helps to see what is wrong with it.
_MOST_COLUMNS_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class LabelRow:
    """What a table says of an image.

    Attributes:
      label: its class; None where the cell is blank or there is no such column.
      fields: every other cell that is not blank, by the name of its column.
    """

    label: str | None
    fields: Mapping[str, str]


class LabelTable:
    """The rows of a table, found by the end of an image's path."""

    def __init__(self, data: bytes, key: str | None, label: str | None) -> None:
        """Read a table; `LabelFile` has the arguments.

        Raises:
          InputError: ``unreadable_catalog``, ``missing_column``, ``empty_key``, ``duplicate_key``.
        """
        table = read_csv(data)
        names = table.columns.column_names
        self.key = key or (names[0] if names else "")
        self.label = label or ("label" if "label" in names else None)
        wanted = [name for name in (self.key, label) if name is not None]
        if missing := [name for name in wanted if name not in names]:
            shown = ", ".join(map(repr, names[:_MOST_COLUMNS_SHOWN]))
            raise InputError(
                Kind.MISSING_COLUMN, f"it has no column {missing[0]!r}; it has {shown or 'none'}"
            )
        keys = normal_keys(pc.utf8_trim_whitespace(table.columns[self.key].combine_chunks()))
        order = pc.sort_indices(keys)
        self._keys: list[str] = keys.take(order).to_pylist()
        self._table = table.columns.take(order)
        self._most_parts = max((key.count("/") for key in self._keys), default=0) + 1
        lines = table.lines[order.to_numpy()]
        if self._keys and not self._keys[0]:
            raise InputError(Kind.EMPTY_KEY, f"line {lines[0]} has no {self.key}")
        for place in range(1, len(self._keys)):
            if self._keys[place] == self._keys[place - 1]:
                first, second = sorted(lines[place - 1 : place + 1])
                raise InputError(
                    Kind.DUPLICATE_KEY,
                    f"{self.key} {self._keys[place]!r} is on line {first} and on {second}",
                )

    def __len__(self) -> int:
        return len(self._keys)

    def first_key(self) -> str | None:
        """Return one of the keys, to be shown where no image has any."""
        return self._keys[0] if self._keys else None

    def extra_names(self) -> list[str]:
        """Return the columns beside key and label, in the order of the table."""
        return [name for name in self._table.column_names if name not in (self.key, self.label)]

    def extra_columns(self, paths: Iterable[str]) -> pa.Table:
        """Return those columns for images: numbers where all cells clearly are, else text.

        Args:
          paths: of the images, see `find`.

        Returns:
          one row for each path, null throughout for an image that has no row.
        """
        rows = pa.array([self.place(path) for path in paths], pa.int64())
        return pa.table({
            name: typed_column(self._table.column(name)).take(rows) for name in self.extra_names()
        })  # fmt: skip

    def place(self, path: str) -> int | None:
        """Return the number of an image's row; None without one."""
        for key in keys_of_path(path, self._most_parts):
            place = bisect.bisect_left(self._keys, key)
            if place < len(self._keys) and self._keys[place] == key:
                return place
        return None

    def find(self, path: str) -> LabelRow | None:
        """Return the row of an image, by as much of the end of its path as a key has.

        Args:
          path: its source's uri, a slash, and the member's name.
        """
        place = self.place(path)
        if place is None:
            return None
        text: dict[str, str] = self._table.slice(place, 1).to_pylist()[0]
        cells = {name: value.strip() for name, value in text.items() if value.strip()}
        cells.pop(self.key, None)
        return LabelRow(cells.pop(self.label, None) if self.label else None, cells)


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """A table of labels, by reference: each process loads it once.

    Attributes:
      uri: a CSV, plain or gzipped.
      digest: of its content; `find` takes it.
      key: the column that names the image by the end of its path; None for the first column.
      label: the column of the class; None for ``label``, if there is one.
    """

    uri: str
    digest: str
    key: str | None = None
    label: str | None = None

    @classmethod
    def find(cls, uri: str, key: str | None = None, label: str | None = None) -> LabelFile:
        """Return a reference to a table as it is now.

        Raises:
          InputError: ``unreadable_file``.
        """
        return cls(uri, _digest(_content(uri)), key, label)

    def fingerprint_value(self) -> list[str | None]:
        """Return the parts of a table that change a row: columns and content."""
        return [self.key, self.label, self.digest]

    def load(self) -> LabelTable:
        """Load the table; the threads of a process share one.

        Raises:
          InputError: what `LabelTable` raises; ``unreadable_catalog``, also for a file that is
            another one now.
        """
        return _loaded(self)


@functools.lru_cache(maxsize=4)
def _loaded(file: LabelFile) -> LabelTable:
    content = _content(file.uri)
    if _digest(content) != file.digest:
        raise InputError(Kind.UNREADABLE_CATALOG, f"{file.uri}: it has changed since the start")
    try:
        return LabelTable(content, file.key, file.label)
    except InputError as error:
        raise InputError(error.kind, f"{file.uri}: {error.message}") from None


def _content(uri: str) -> bytes:
    with open_file(uri) as file:
        return file.read(LARGEST + 1)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def folder_label(member: str) -> str | None:
    """Return the folder that an image lies in, within its source; None where it lies in none.

    Args:
      member: the name of the image in its source.
    """
    return posixpath.basename(posixpath.dirname(member.replace("\\", "/"))) or None
