"""The slides or films of a dataset, and where the rows of each lie."""

from __future__ import annotations

import functools

import pyarrow as pa

from beamscope.transforms.dataset.join import suggestion
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


class Items:
    """The table of slides or films.

    Attributes:
      root: the output directory, for messages.
      noun: what an item is: ``slide`` or ``image``.
      table: a row for each; the first column is the id.
    """

    def __init__(self, root: str, noun: str, table: pa.Table) -> None:
        self.root = root
        self.noun = noun
        self.table = table

    @functools.cached_property
    def embedded(self) -> pa.Table:
        """Return the rows that have embeddings."""
        return self.table.filter(self.table["shard"].is_valid())

    @functools.cached_property
    def ids(self) -> list[str]:
        """Return the ids of those that have embeddings, in the order of the table."""
        ids: list[str] = self.embedded.column(0).to_pylist()
        return ids

    def shards_of(self, item_id: str) -> list[int]:
        """Return the indices of the shards that hold an item's rows.

        Raises:
          InputError: ``unknown_item``; ``no_embeddings``, with the reason.
        """
        if item_id not in self._places:
            raise self._refusal(item_id)
        return self._places[item_id]

    @functools.cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        shards = self.embedded["shard"].to_pylist()
        for item_id, shard in zip(self.ids, shards, strict=True):
            # A film of the catalogue may lie in two sources.
            known = places.setdefault(item_id, [])
            if shard not in known:
                known.append(shard)
        return places

    def _refusal(self, item_id: str) -> InputError:
        ids = self.table.column(0).to_pylist()
        if item_id not in ids:
            return InputError(
                Kind.UNKNOWN_ITEM,
                f"{self.root}: there is no {self.noun} {item_id!r}{suggestion(item_id, ids)}",
            )
        row = self.table.slice(ids.index(item_id), 1).to_pylist()[0]
        return InputError(
            Kind.NO_EMBEDDINGS,
            f"{self.root}: {self.noun} {item_id!r} has no embeddings: it is {row['status']}: "
            f"{row['reason']}",
        )
