"""The further columns of a manifest, joined to ``slides.parquet``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from beamscope.transforms.extra_columns import check_extra_names, columns_of_rows
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.requests import SlideRequest

_ID = "slide_id"


def check_columns(slides: Iterable[SlideRequest], where: str) -> list[str]:
    """Return the names of the further columns of slides.

    Args:
      slides: of a manifest.
      where: flag and file, for the message.

    Raises:
      InputError: ``bad_column`` for a name that ``slides.parquet`` has itself.
    """
    names = list(dict.fromkeys(name for slide in slides for name, _ in slide.columns))
    check_extra_names(names, TABLE_SCHEMA.names, where, "slides.parquet")
    return names


@dataclasses.dataclass(frozen=True, eq=False)
class SlideColumns:
    """Add the columns of manifests to the table of slides.

    Attributes:
      columns: ``slide_id`` and the further columns, one row for each slide.
    """

    columns: pa.Table

    def __call__(self, slides: pa.Table) -> pa.Table:
        """Return the table of slides with the columns behind its own."""
        rows = pc.index_in(slides[_ID], value_set=self.columns[_ID])
        for name in self.columns.column_names:
            if name != _ID:
                slides = slides.append_column(name, self.columns[name].take(rows))
        return slides


def slide_columns(slides: Sequence[SlideRequest]) -> SlideColumns | None:
    """Return the further columns of slides, typed over all of them; None if there are none.

    A slide of another manifest, which lacks a column, has null there.
    """
    if not any(slide.columns for slide in slides):
        return None
    columns = columns_of_rows([dict(slide.columns) for slide in slides])
    ids = pa.array([slide.slide_id for slide in slides], pa.string())
    return SlideColumns(columns.add_column(0, _ID, ids))
