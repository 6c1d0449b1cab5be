"""A finished dataset, opened for reading: see `opening.open_dataset`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.transforms.dataset.columns import Columns
from beamscope.transforms.dataset.features import Features, features_of
from beamscope.transforms.dataset.items import Items
from beamscope.transforms.dataset.join import join_labels
from beamscope.transforms.dataset.rows import batches_of, by_item, rows_of
from beamscope.transforms.dataset.shard_reader import ShardReader
from beamscope.transforms.output.dataset import model_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files

if TYPE_CHECKING:
    from beamscope.transforms.dataset.bags import SlideBags
    from beamscope.transforms.dataset.stream import RowStream


class Dataset:
    """A finished dataset. Nothing is read but its description, until it is asked for.

    Threads can share it, and processes that fork or pickle it.

    Attributes:
      root: the output directory.
      description: the content of ``dataset.json``: options, model, versions, counts, schema.
      columns: names of the columns of the embeddings, ``embedding`` among them.
    """

    def __init__(
        self, root: str, description: Mapping[str, Any], embedding: str | None = None
    ) -> None:
        self.root = root
        self.description = description
        self.columns = tuple(description["schema"])
        self._columns = Columns(root, description["schema"])
        if embedding is not None:
            chosen = self._columns.embedding(embedding)
            self._columns = dataclasses.replace(self._columns, chosen=chosen)
        names = [[name for name in shard["files"] if name.endswith(".parquet")]
                 for shard in description["shards"]]  # fmt: skip
        if not all(names):
            other = description["shards"][0]["files"][0]
            raise InputError(
                Kind.NO_PARQUET,
                f"{root}: has no Parquet shards, only such as {other}. Run the job's command again "
                "with --format parquet; it computes nothing anew",
            )
        self._shards = tuple(ShardReader(files.join(root, *name)) for name in names)

    def __repr__(self) -> str:
        return f"<beamscope dataset {self.root}: {self!s}>"

    def __str__(self) -> str:
        return f"{len(self):,} rows of {len(self.ids):,} {self.table_name}"

    def __len__(self) -> int:
        """Return the number of rows: patches or films."""
        return int(self.description["counts"]["rows"])

    @property
    def table_name(self) -> str:
        """Return the name of the table of items: ``slides`` or ``images``."""
        counts = self.description["counts"]
        return next(name for name in counts if isinstance(counts[name], dict))

    @property
    def slides(self) -> pa.Table:
        """Return the table of all requested slides, with status and reason.

        Raises:
          InputError: ``unknown_column``: it is a dataset of films.
        """
        return self._table("slides")

    @property
    def images(self) -> pa.Table:
        """Return the table of all films that were found, with status and reason.

        Raises:
          InputError: ``unknown_column``: it is a dataset of slides.
        """
        return self._table("images")

    @property
    def items(self) -> pa.Table:
        """Return the table of items, whatever it is called; its first column is the id."""
        return self._items.table

    @functools.cached_property
    def problems(self) -> pa.Table:
        """Return the table of all that went wrong."""
        return self._read_table("problems")

    @property
    def embedded(self) -> pa.Table:
        """Return the rows of `items` that have embeddings."""
        return self._items.embedded

    @property
    def ids(self) -> list[str]:
        """Return the ids of the slides or films that have embeddings, in the order of `items`."""
        return list(self._items.ids)

    @property
    def embedding_columns(self) -> tuple[str, ...]:
        """Return the names of the columns that hold embeddings, one for each model."""
        return self._columns.embeddings

    @property
    def id_column(self) -> str:
        """Return the name of the column of ids: ``slide_id`` or ``image_id``."""
        return self.columns[0]

    def features(self, item_id: str, *, column: str | None = None) -> Features:
        """Return the embeddings and coordinates of a slide or film in one read.

        Only the row groups with its rows are read.

        Args:
          item_id: id of a slide or film.
          column: the column of embeddings; None for ``embedding``, or the only one.

        Raises:
          InputError: ``unknown_item``; ``no_embeddings``, with the reason; ``unknown_column``;
            ``unreadable_dataset``.
        """
        column = self.embedding_column(column)
        columns = self._columns.with_embedding(column)
        found = []
        for shard in (self._shards[index] for index in self._items.shards_of(item_id)):
            groups = shard.groups_with(self.id_column, item_id)
            table = shard.read(groups, columns)
            found.append(rows_of(table, self.id_column, item_id))
        rows = pa.concat_tables(found)
        if not rows.num_rows:
            raise InputError(
                Kind.UNREADABLE_DATASET,
                f"{self.root}: {self.table_name}.parquet places {item_id!r} in a shard that does "
                "not hold it: the files are of different runs",
            )
        return features_of(rows, column)

    def require(self, item_id: str) -> None:
        """Refuse the id of a slide or film without embeddings.

        Raises:
          InputError: ``unknown_item``; ``no_embeddings``, with the reason.
        """
        self._items.shards_of(item_id)

    def iter_slides(self, *, column: str | None = None) -> Iterator[tuple[str, Features]]:
        """Yield the id and the features of every slide that has embeddings.

        The shards are read once from end to end; one slide and one row group are in memory.

        Args:
          column: the column of embeddings; None for ``embedding``, or the only one.

        Raises:
          InputError: ``unknown_column``: there is no such column, or it is a dataset of films.
        """
        if self.table_name == "images":
            raise self._wrong_table("slides")
        column = self.embedding_column(column)
        tables = self.tables(self._columns.with_embedding(column))
        for item_id, rows in by_item(tables, self.id_column):
            yield item_id, features_of(rows, column)

    def lacking(self, column: str) -> int:
        """Return of how many rows a model has no embedding, while another model has one."""
        return int(self.description["counts"].get(f"lacking_{column}", 0))

    def model(self, column: str | None = None) -> Mapping[str, Any]:
        """Return what ``dataset.json`` says of the model of a column of embeddings.

        Args:
          column: the column of embeddings; None for the only one.

        Raises:
          InputError: ``unknown_column``.
        """
        column = self.embedding_column(column)
        found: Mapping[str, Any] = model_of(self.description, column)
        return found

    def options(self, column: str | None = None) -> Mapping[str, Any]:
        """Return the settings that made a column of embeddings, and those of its model.

        Of several models, some settings are of one alone, such as how images were fitted to it.

        Args:
          column: as for `model`.

        Raises:
          InputError: ``unknown_column``.
        """
        common: Mapping[str, Any] = self.description["options"]
        return {**self.model(column), **common} if self.embedding_columns else common

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows as they lie: a row group at a time, some thousand rows.

        Args:
          columns: names of columns; None for all.

        Raises:
          InputError: ``unknown_column``; ``unreadable_dataset``.
        """
        wanted = self._columns.checked(columns)
        for shard in self._shards:
            yield from shard.batches(wanted)

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows in batches of a size; the last one may be smaller.

        Args:
          rows: number of rows of a batch.
          columns: names of columns; None for all.

        Raises:
          InputError: ``unknown_column``; ``unreadable_dataset``.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        yield from batches_of(self.tables(columns), rows)

    def load(self, *, column: str | None = None) -> Features:
        """Return all rows in memory, in the order of the shards.

        Args:
          column: the column of embeddings; None for ``embedding``, or the only one.
        """
        column = self.embedding_column(column)
        tables = self.tables(self._columns.with_embedding(column))
        return features_of(pa.concat_tables(tables), column)

    def join(
        self, source: Any, on: str | None = None, *, key: Callable[[str], str] | None = None
    ) -> pa.Table:
        """Return the slides or films that have embeddings, with the columns of a table of labels.

        A warning tells how many of them have no row in that table.

        Args:
          source: path or URI of a CSV or Parquet file, or a table: a dict of columns, a pandas or
            polars frame, an Arrow table.
          on: the column that both tables have, such as ``patient``; None for the id.
          key: function from an id to the value of `on`, where the dataset has no such column: for
            TCGA, ``lambda slide_id: slide_id[:12]`` is the patient.

        Returns:
          the columns of `slides` or `images`, then those of the labels, null where there is no
          label. A label column whose name is taken ends in ``_right``.

        Raises:
          InputError: ``bad_table``: the table cannot be read or joined.
        """
        noun = self.table_name.removesuffix("s")
        return join_labels(self.embedded, noun, source, on or self.id_column, key)

    def bags(
        self,
        labels: pa.Table | Mapping[str, Any] | None = None,
        *,
        label: str = "label",
        column: str | None = None,
    ) -> SlideBags:
        """Return the slides as a sequence of bags, for PyTorch's ``DataLoader`` among others.

        Args:
          labels: what `join` returned, or labels by slide id; slides without a label are left out.
            None for all slides, without labels.
          label: name of the column of labels in the table.
          column: the column of embeddings; None for ``embedding``, or the only one.
        """
        from beamscope.transforms.dataset.bags import SlideBags

        if self.table_name == "images":
            raise self._wrong_table("slides")
        return SlideBags(self, labels, label, self.embedding_column(column))

    def stream(
        self,
        batch_size: int,
        labels: pa.Table | Mapping[str, Any] | None = None,
        *,
        label: str = "label",
        column: str | None = None,
        seed: int | None = None,
    ) -> RowStream:
        """Return the patches or films as batches that are read while they are used.

        Args:
          batch_size: number of rows of a batch; the last one may be smaller.
          labels: what `join` returned, or labels by id; rows without a label are left out. None for
            all rows, without labels.
          label: name of the column of labels in the table.
          column: the column of embeddings; None for ``embedding``, or the only one.
          seed: seed of a random order; None for the order of the shards.
        """
        from beamscope.transforms.dataset.stream import RowStream

        return RowStream(self, batch_size, labels, label, self.embedding_column(column), seed)

    def embedding_column(self, column: str | None) -> str:
        """Return the column of embeddings that a caller means.

        Args:
          column: its name, or what of that comes after ``embedding_``; None for that with which the
            dataset was opened, for ``embedding``, or for the only one.

        Raises:
          InputError: ``unknown_column``: there is none of that name, or several to choose from.
        """
        return self._columns.embedding(column)

    @property
    def shards(self) -> tuple[ShardReader, ...]:
        """Return the readers of the shards, in order."""
        return self._shards

    @functools.cached_property
    def _items(self) -> Items:
        noun = self.table_name.removesuffix("s")
        return Items(self.root, noun, self._read_table(self.table_name))

    def _table(self, name: str) -> pa.Table:
        if name != self.table_name:
            raise self._wrong_table(name)
        return self.items

    def _wrong_table(self, name: str) -> InputError:
        return InputError(
            Kind.UNKNOWN_COLUMN,
            f"{self.root}: is a dataset of {self.table_name}, and has no {name}",
        )

    def _read_table(self, name: str) -> pa.Table:
        path = files.join(self.root, f"{name}.parquet")
        try:
            with files.open_read(path) as file:
                return pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            message = f"{path}: cannot be read: {one_line(error)}"
            raise InputError(Kind.UNREADABLE_DATASET, message) from error
