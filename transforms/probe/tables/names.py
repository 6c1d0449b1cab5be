"""Names of slides, films and patients in tables, compared however they are written."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterable, Sequence

from beamscope.transforms.sources.tables.keys import normal_key

# Endings of files that stand for a slide, film or its embeddings in tables of other tools.
_ENDINGS = frozenset({
    ".h5", ".hdf5", ".pt", ".pkl", ".npy", ".zarr",
    ".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn",
    ".vms", ".vmu", ".bif", ".svslide", ".dcm", ".czi", ".jpg", ".jpeg", ".png", ".bmp", ".webp",
})  # fmt: skip


def plain_name(text: str) -> str:
    """Return a name in the form in which names are compared: normal slashes, no file ending."""
    key = normal_key(text)
    stem, ending = posixpath.splitext(key)
    return stem if ending.lower() in _ENDINGS else key


def names_of(text: str) -> list[str]:
    """Return the names by which a table may call an item: the ends of its path, longest first."""
    parts = plain_name(text).split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


@dataclasses.dataclass(frozen=True)
class Index:
    """Rows of a table by the name of their item.

    Attributes:
      rows: place of the row by plain name; of equal names the first.
      ends: place of the row by the ends of its name, where only one name of the table has that end.
    """

    rows: dict[str, int]
    ends: dict[str, int]

    @staticmethod
    def of(cells: Sequence[str | None]) -> Index:
        """Return the index of a column."""
        rows: dict[str, int] = {}
        ends: dict[str, int] = {}
        for place, cell in enumerate(cells):
            if cell is None:
                continue
            whole, *shorter = names_of(cell)
            if whole not in rows:
                rows[whole] = place
                for end in shorter:
                    ends[end] = -1 if end in ends else place
        return Index(rows, {end: place for end, place in ends.items() if place >= 0})

    def find(self, names: Iterable[str], whole: Iterable[str] = ()) -> int | None:
        """Return the row of an item; None if the table does not name it.

        Args:
          names: names of the item, the best first; a name of the table must be one of them.
          whole: its names that must be the end of a name of the table.
        """
        found = next((self.rows[name] for name in names if name in self.rows), None)
        if found is None:
            found = next((self.ends[name] for name in whole if name in self.ends), None)
        return found


def matching(pattern: str | None, name: str) -> str | None:
    """Return the part of a name that a pattern takes: its first group, or all of the match."""
    found = re.search(pattern, name) if pattern else None
    if found is None:
        return None
    return found[1] if found.re.groups else found[0]
