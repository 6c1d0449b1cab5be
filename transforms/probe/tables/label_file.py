"""Read tables of labels and of slides: CSV and TSV, as STAMP, Patho-Bench and CLAM write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.tables.read_csv import read_csv
from beamscope.transforms.storage import files

# Cells that say that nothing is known, in lower case; STAMP's list and pandas'.
_BLANK = frozenset({
    "", "na", "n/a", "nan", "none", "null", "<na>", "#n/a", "#na", "?", "-", "--", "=#value!",
})  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A table of text.

    Attributes:
      source: what it is called in messages: flag and path.
      columns: cells by the name of their column, all of one length; None where blank.
    """

    source: str
    columns: Mapping[str, list[str | None]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str, flag: str) -> list[str | None]:
        """Return the cells of a column.

        Raises:
          InputError: ``missing_column``; the message names the flag that asks for it.
        """
        if name not in self.columns:
            has = ", ".join(self.columns)
            raise InputError(
                Kind.MISSING_COLUMN,
                f"{flag} {name}: {self.source} has no such column; it has {has}",
            )
        return self.columns[name]


def read_table(path: str, flag: str) -> Table:
    """Read a CSV or TSV file with a header, gzipped or not.

    Raises:
      InputError: the file cannot be read; the message has the flag.
    """
    source = f"{flag} {path}"
    with files.refusals(Kind.UNREADABLE_CATALOG, f"{flag} "):
        data = files.read_bytes(path)
    name = path.lower().removesuffix(".gz")
    try:
        table = read_csv(data, "\t" if name.endswith((".tsv", ".tab")) else ",").columns
    except InputError as error:
        raise InputError(error.kind, f"{source}: {error.message}") from error
    if not table.num_columns or not table.num_rows:
        raise InputError(Kind.UNREADABLE_CATALOG, f"{source}: it has no rows")
    return Table(source, {name: [_cell(text) for text in table[name].to_pylist()]
                          for name in table.column_names})  # fmt: skip


def _cell(text: str) -> str | None:
    text = text.strip()
    return None if text.lower() in _BLANK else text
