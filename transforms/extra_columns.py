"""The further columns of a user's table, which travel into the tables of a dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Numbers as programs write them. A leading zero, as in "007", is that of an identifier.
_INTEGER = r"^[-+]?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$"


def check_extra_names(names: Iterable[str], own: Collection[str], where: str, table: str) -> None:
    """Refuse names that beamscope's own table has, and names that differ only by their case.

    Readers such as DuckDB do not tell names apart by case.

    Args:
      names: the further columns, in the order of the file.
      own: the columns of beamscope's own table.
      where: flag and file, for the message.
      table: name of the table, such as ``slides.parquet``.

    Raises:
      InputError: ``bad_column``; the message names the column.
    """
    taken = {name.casefold() for name in own}
    seen: dict[str, str] = {}
    for name in names:
        if not name or not name.isprintable():
            raise InputError(Kind.BAD_COLUMN, f"{where}: a column has the name {name!r}; rename it")
        if name.casefold() in taken:
            raise InputError(
                Kind.BAD_COLUMN,
                f"{where}: {table} has a column {name.casefold()!r} of its own; rename the "
                f"column {name!r}",
            )
        if name.casefold() in seen:
            raise InputError(
                Kind.BAD_COLUMN,
                f"{where}: the columns {seen[name.casefold()]!r} and {name!r} have one name; "
                "rename one",
            )
        seen[name.casefold()] = name


def typed_column(cells: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return cells of text as numbers if all of them clearly are, else as they are.

    Args:
      cells: strings; one that is null or blank becomes null.

    Returns:
      int64 if every cell is a whole number without leading zeros, float64 if every cell is such a
      decimal number, else strings.
    """
    trimmed = pc.utf8_trim_whitespace(cells)
    filled = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if filled.null_count == len(filled):
        return filled
    for pattern, kind in ((_INTEGER, pa.int64()), (_NUMBER, pa.float64())):
        if pc.all(pc.match_substring_regex(filled, pattern)).as_py():
            # Arrow reads no plus sign.
            return pc.replace_substring_regex(filled, r"^\+", "").cast(kind)
    return filled


def columns_of_rows(rows: Sequence[Mapping[str, str]]) -> pa.Table:
    """Return the further cells of some rows as typed columns, in the order of their first use.

    Args:
      rows: name and text of each cell; a column that a row lacks is null there.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({
        name: typed_column(pa.array([row.get(name) for row in rows], pa.string()))
        for name in names
    })  # fmt: skip
