"""The rows of a dataset as a probe reads them: columns of all, and embeddings by batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.dataset.features import has_embedding
from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.dataset.shard_reader import ShardReader
from beamscope.transforms.formats.columns import as_matrix, is_embedding
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slide_vectors.slide_vectors import NAME, is_out_of_date
from beamscope.transforms.storage import files


class DatasetRows:
    """The rows of a finished dataset, in the order of its shards.

    Attributes:
      root: the output directory.
      schema: columns of the rows.
    """

    def __init__(self, root: str, *, slide_vectors: bool = False) -> None:
        """Open a dataset.

        Args:
          root: the output directory.
          slide_vectors: whether to take ``slide_embeddings.parquet``, a row for each slide, instead
            of the patches.

        Raises:
          InputError: ``no_run`` or ``no_parquet`` if it cannot be read so.
        """
        self.root = root
        self._dataset = open_dataset(root)
        self._shards: Sequence[ShardReader] = self._dataset.shards
        if slide_vectors:
            self._shards = [self._slide_vectors()]
        if not self._shards:
            raise InputError(Kind.NO_RUN, f"{root}: the dataset is empty")
        self.schema: pa.Schema = self._shards[0].schema

    def _slide_vectors(self) -> ShardReader:
        path = files.join(self.root, NAME)
        remedy = f"`beamscope slide-vectors {self.root}` makes it"
        if not files.exists(path):
            raise InputError(Kind.NO_RUN, f"--slide_vectors: {self.root} has no {NAME}; {remedy}")
        reader = ShardReader(path)
        if is_out_of_date(self._dataset, reader.schema):
            raise InputError(
                Kind.NO_RUN,
                f"--slide_vectors: {path} was made before the dataset changed; {remedy} anew",
            )
        return reader

    @property
    def of_slides(self) -> bool:
        """Return whether the rows are of slides, not of films or images."""
        return "slide_id" in self.schema.names

    @property
    def has_patches(self) -> bool:
        """Return whether the rows are patches of slides."""
        return "x_level0" in self.schema.names

    @property
    def embeddings(self) -> list[str]:
        """Return the columns of embeddings: one for each model."""
        return [field.name for field in self.schema if is_embedding(field.type)]

    def features(self, column: str) -> int:
        """Return the length of an embedding."""
        return int(self.schema.field(column).type.list_size)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return columns of all rows; a name that the dataset lacks is left out."""
        wanted = [name for name in names if name in self.schema.names]
        return pa.concat_tables(table for shard in self._shards for table in shard.batches(wanted))

    def batches(self, column: str) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        """Yield the place of the first row, and embeddings ``[n, D]``, in order."""
        for start, batch in self.record_batches([column]):
            yield start, as_matrix(batch.column(0))

    def record_batches(self, names: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the place of the first row, and some columns of the next rows, in order."""
        start = 0
        for shard in self._shards:
            for table in shard.batches(names):
                for batch in table.select(names).combine_chunks().to_batches():
                    yield start, batch
                    start += batch.num_rows

    def lacking(self) -> npt.NDArray[np.bool_] | None:
        """Return which rows lack the embedding of one of several models; None if none does."""
        columns = [one for one in self.embeddings if self._dataset.lacking(one)]
        if not columns or self._shards is not self._dataset.shards:
            return None
        found = [
            np.concatenate([~has_embedding(some) for _, some in self.batches(column)])
            for column in columns
        ]
        lacking: npt.NDArray[np.bool_] = np.any(found, axis=0)
        return lacking

    def item_table(self) -> pa.Table:
        """Return the table of slides or of images, its columns of text alone."""
        table = self._dataset.items
        text = [field.name for field in table.schema if pa.types.is_string(field.type)]
        return table.select(text)
