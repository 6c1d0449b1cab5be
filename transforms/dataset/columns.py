"""The columns of a dataset, and which of them a caller means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from beamscope.transforms.dataset.join import suggestion
from beamscope.transforms.output.schema import EMBEDDING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_EMBEDDING_TYPE = "fixed_size_list"


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of the rows of a dataset.

    Attributes:
      root: the output directory, for messages.
      schema: the type of each column, by name, as ``dataset.json`` has them.
      chosen: the column of embeddings that is meant where none is named.
    """

    root: str
    schema: Mapping[str, str]
    chosen: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all columns."""
        return tuple(self.schema)

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Return the names of the columns that hold embeddings, one for each model."""
        return tuple(name for name, kind in self.schema.items() if kind.startswith(_EMBEDDING_TYPE))

    def embedding(self, column: str | None) -> str:
        """Return the column of embeddings that a caller means; see `Dataset.embedding_column`."""
        there = self.embeddings
        if column is None:
            if self.chosen is not None:
                return self.chosen
            if EMBEDDING in there:
                return EMBEDDING
            if len(there) == 1:
                return there[0]
        elif column in there:
            return column
        elif f"{EMBEDDING}_{column}" in there:
            return f"{EMBEDDING}_{column}"
        if not there:
            raise InputError(
                Kind.UNKNOWN_COLUMN,
                f"{self.root}: has no embeddings; its columns are {', '.join(self.names)}",
            )
        asked = "several columns of embeddings" if column is None else f"no embeddings {column!r}"
        raise InputError(
            Kind.UNKNOWN_COLUMN,
            f"{self.root}: has {asked}; choose embedding= (--embedding) from {', '.join(there)}",
        )

    def with_embedding(self, column: str) -> list[str]:
        """Return all columns but those of other embeddings."""
        others = set(self.embeddings) - {column}
        return [name for name in self.names if name not in others]

    def checked(self, wanted: Sequence[str] | None) -> Sequence[str]:
        """Return the columns that are wanted; all where None is given.

        Raises:
          InputError: ``unknown_column``.
        """
        for name in wanted or ():
            if name not in self.schema:
                raise InputError(
                    Kind.UNKNOWN_COLUMN,
                    f"{self.root}: has no column {name!r}{suggestion(name, self.names)}; it has "
                    f"{', '.join(self.names)}",
                )
        return self.names if wanted is None else wanted
