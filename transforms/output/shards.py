"""Cut items into shards, and stream their parts into the shards' files."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from beamscope.transforms.formats.base import ShardWriter
from beamscope.transforms.formats.registry import FORMATS, extensions
from beamscope.transforms.output.file_sums import FileSum, sum_of_file
from beamscope.transforms.output.joined_parts import read_block
from beamscope.transforms.output.layout import EMBEDDINGS, PATCHES, Layout, is_shard, shard_folder
from beamscope.transforms.output.schema import (
    FeatureLengths,
    embedding_schema,
    with_embedding_dtype,
)
from beamscope.transforms.storage import files
from beamscope.transforms.storage.uris import name_of

# About 2 GB of 2,048 float32 each: large enough to read fast, small enough to move around.
ROWS_PER_SHARD = 250_000
# Row groups of some tens of MB, the size that Parquet readers like.
ROWS_PER_GROUP = 4_096
# Encoded images have some tens of kilobytes each.
IMAGES_PER_SHARD = 20_000
_BYTES_PER_GROUP = 128 << 20


@dataclasses.dataclass(frozen=True)
class ShardFormat:
    """The form of the shards. It changes no number that the model computes.

    Attributes:
      formats: names of formats to write; each holds every row.
      num_shards: number of shards; None for one per `ROWS_PER_SHARD` rows.
      dtype: dtype of the embeddings: ``float32``, or ``float16``, rounded to nearest.
    """

    formats: tuple[str, ...] = ("parquet",)
    num_shards: int | None = None
    dtype: str = "float32"

    def count(self, rows: int, rows_per_shard: int = ROWS_PER_SHARD) -> int:
        """Return the number of shards for a number of rows: at least one."""
        return self.num_shards or max(1, -(-rows // rows_per_shard))


def content_of(features: FeatureLengths) -> str:
    """Return what shards hold, for their names: embeddings, or patches where there are none."""
    return EMBEDDINGS if features else PATCHES


def cut_shards(rows_of: Iterable[tuple[str, int]], count: int) -> dict[str, int]:
    """Assign items, sorted by name, to `count` shards of about equally many rows.

    An item is never split: its rows are contiguous and in one shard. Shards follow the order of
    names. Imagine all rows cut evenly: an item goes to the shard of its middle row.

    Args:
      rows_of: name and number of rows of every item.
      count: number of shards.

    Returns:
      the shard of each item with rows; some shards may stay empty.
    """
    items = sorted((name, rows) for name, rows in rows_of if rows)
    total = sum(rows for _, rows in items)
    shard_of = {}
    before = 0
    for name, rows in items:
        shard_of[name] = min(count - 1, (2 * before + rows) * count // (2 * total))
        before += rows
    return shard_of


def write_shard(
    layout: Layout,
    index: int,
    count: int,
    part_paths: Sequence[str],
    rows: pa.Schema,
    features: FeatureLengths,
    shard_format: ShardFormat,
    metadata: dict[str, str],
) -> tuple[int, list[FileSum]]:
    """Stream parts, in the order given, into one shard of each format.

    One row group is in memory, whatever the shard's size. A file appears when it is complete.

    Args:
      layout: paths of the dataset.
      index: index of the shard, from 0.
      count: number of shards.
      part_paths: the shard's parts; an empty shard has none, and is written too. Of several models,
        the parts of each block follow one another.
      rows: the job's own columns.
      features: length of an embedding; 0 for rows of encoded images; by column of several models.
      shard_format: the form of the shards.
      metadata: metadata for each format that can hold it.

    Returns:
      the number of rows, and the sums of the files.

    Raises:
      DamagedError: a part is not what was written.
    """
    schema = embedding_schema(rows, features, shard_format.dtype, metadata)
    total = 0
    sums: list[FileSum] = []
    with contextlib.ExitStack() as stack:
        writers: list[ShardWriter] = []
        for form in map(FORMATS.get, shard_format.formats):
            shard = layout.shard(index, count, form.extension, content_of(features))
            path = stack.enter_context(files.atomic_path(shard))
            # After the writer has closed the file, and before the file appears.
            stack.callback(_add_sum, sums, layout.relative(shard), path)
            writer = form.writer(path, schema)
            writers.append(stack.enter_context(contextlib.closing(writer)))
        for group in _row_groups(_blocks(part_paths, features)):
            batch = with_embedding_dtype(group, schema)
            total += batch.num_rows
            for writer in writers:
                writer.write(batch)
    return total, sums


def _add_sum(sums: list[FileSum], name: str, path: Path) -> None:
    sums.append(sum_of_file(name, path))


def list_shards(root: str) -> dict[str, str]:
    """Return the path of every shard in an output directory, of this run or an earlier one.

    Version 0.2 wrote shards into the output directory itself; these are listed too.

    Returns:
      the paths by name; a name is relative to the output directory.
    """
    return {
        f"{folder}/{name_of(file.path)}".lstrip("/"): file.path
        for folder in ("", *_shard_folders())
        for file in files.list_files(files.join(root, folder), recursive=False)
        if is_shard(file.path)
    }


def delete_shards(root: str, *, keep: Collection[str] = ()) -> None:
    """Delete the shards in an output directory but those to keep, and the folders left empty.

    Args:
      root: the output directory.
      keep: names of the shards that stay, relative to the output directory.
    """
    files.delete([path for name, path in list_shards(root).items() if name not in keep])
    for folder in _shard_folders():
        files.delete_temporaries(files.join(root, folder))
        files.delete_empty(files.join(root, folder))


def _shard_folders() -> list[str]:
    contents = (EMBEDDINGS, PATCHES)
    return [shard_folder(end, content) for content in contents for end in sorted(extensions())]


def _blocks(
    part_paths: Sequence[str], features: FeatureLengths
) -> Iterator[Iterator[pa.RecordBatch]]:
    columns = [] if isinstance(features, int) else list(features)
    models = max(1, len(columns))
    for start in range(0, len(part_paths), models):
        yield read_block(part_paths[start : start + models], columns)


def _row_groups(blocks: Iterable[Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Join whole parts into batches of about `ROWS_PER_GROUP` rows."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for block in blocks:
        for batch in block:
            waiting.append(batch)
            rows += batch.num_rows
            size += batch.nbytes
        if rows >= ROWS_PER_GROUP or size >= _BYTES_PER_GROUP:
            group, waiting, rows, size = pa.concat_batches(waiting), [], 0, 0
            yield group
    if waiting:
        yield pa.concat_batches(waiting)
