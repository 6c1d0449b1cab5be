"""Export a dataset: a file for each slide, or for each shard of films."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.features import features_of
from beamscope.transforms.export.base import Exporter, Unit
from beamscope.transforms.output.layout import file_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
      units: number of slides, or of shards of films.
      rows: number of patches or films.
      renamed: ids of slides whose files could not be named by the id as it is.
    """

    units: int
    rows: int
    renamed: tuple[str, ...]


def export_dataset(
    dataset: Dataset,
    exporter: Exporter,
    output: str,
    only: Sequence[str] = (),
    on_unit: Callable[[int], object] = int,
) -> Exported:
    """Write a dataset in a format. A file appears when it is whole, and replaces one of its name.

    Args:
      dataset: the dataset.
      exporter: the format.
      output: directory to write to, local, gs:// or s3://.
      only: ids of the slides to write; empty for all.
      on_unit: called with the number of units before the first, and after each of them.

    Raises:
      InputError: ``unknown_item``, ``no_embeddings``; ``unwritable``: a file cannot be written.
    """
    slides = "x_level0" in dataset.columns
    units = _slides(dataset, exporter, only) if slides else _shards(dataset, exporter)
    total = (len(only) or len(dataset.ids)) if slides else len(dataset.shards)
    done = rows = 0
    renamed = []
    on_unit(total)
    for unit in units:
        try:
            with contextlib.ExitStack() as stack:
                paths = [
                    stack.enter_context(files.atomic_path(files.join(output, *name.split("/"))))
                    for name in exporter.files(unit.name)
                ]
                exporter.write(unit, paths)
        except OSError as error:
            raise InputError(Kind.UNWRITABLE, f"--output {output}: {one_line(error)}") from error
        done, rows = done + 1, rows + unit.rows
        if unit.item is not None and unit.item[dataset.id_column] != unit.name:
            renamed.append(unit.item[dataset.id_column])
        on_unit(total)
    return Exported(done, rows, tuple(renamed))


def _slides(dataset: Dataset, exporter: Exporter, only: Sequence[str]) -> Iterator[Unit]:
    column = dataset.embedding_column(exporter.settings.embedding)
    places = {slide_id: place for place, slide_id in enumerate(dataset.ids)}
    found = (
        ((slide_id, dataset.features(slide_id, column=column)) for slide_id in only)
        if only
        else dataset.iter_slides(column=column)
    )
    for slide_id, features in found:
        (item,) = dataset.embedded.slice(places[slide_id], 1).to_pylist()
        count, length = features.embeddings.shape
        yield Unit(file_name(slide_id), item, count, length, iter([features]))


def _shards(dataset: Dataset, exporter: Exporter) -> Iterator[Unit]:
    column = dataset.embedding_column(exporter.settings.embedding)
    others = set(dataset.embedding_columns) - {column}
    columns = [name for name in dataset.columns if name not in others]
    for shard, described in zip(dataset.shards, dataset.description["shards"], strict=True):
        if not described["rows"]:
            continue
        name = shard.path.rsplit("/", 1)[-1].removesuffix(".parquet")
        rows = described["rows"]
        if dataset.lacking(column):
            rows = sum(len(features_of(one, column).embeddings) for one in shard.batches([column]))
            if not rows:
                continue
        batches = (features_of(table, column) for table in shard.batches(columns))
        length = int(dataset.description["schema"][column].rpartition("[")[2].rstrip("]"))
        yield Unit(name, None, rows, length, batches)
