"""PTransform: assemble the parts of finished items into the dataset."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter, AsList, AsSingleton

from beamscope.transforms.metrics import timed
from beamscope.transforms.output.dataset import DatasetSpec, ShardRef, finish_dataset
from beamscope.transforms.output.leases.held import check_lease, release
from beamscope.transforms.output.leases.work import kept_by_work
from beamscope.transforms.output.outcome import ItemOutcome, JoinedOutcomes, join_outcomes
from beamscope.transforms.output.parts import read_part
from beamscope.transforms.output.ptransforms.damage import repaired_by_another_pass, say
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.output.shards import (
    IMAGES_PER_SHARD,
    ROWS_PER_SHARD,
    cut_shards,
    write_shard,
)
from beamscope.transforms.storage import files

# An item and its parts. The piece with the empty name stands for a shard without items.
_Piece = tuple[str, tuple[str, ...]]
# Number of outcomes that are joined into one element.
_JOINED = 1_000


@dataclasses.dataclass
class AssembleDataset(beam.PTransform):
    """Write the dataset: ``PCollection[ItemOutcome]`` to one description, a dict.

    Attributes:
      spec: the form of the dataset.
    """

    spec: DatasetSpec

    def expand(self, outcomes: beam.PCollection[ItemOutcome]) -> beam.PCollection[dict[str, Any]]:
        """Cut shards by rows, stream each from its parts, and write the description last."""
        cut = (
            outcomes
            | "CountRows" >> beam.Map(lambda outcome: (outcome.item_id, outcome.rows))
            | "GatherCounts" >> beam.combiners.ToList()
            | "CutShards" >> beam.Map(_cut, self.spec)
        )
        # Take outcomes apart at once, so that the runner keeps none of them whole.
        pieces = (
            outcomes
            | "WithRows" >> beam.Filter(lambda outcome: outcome.rows > 0)
            | "TakeParts" >> beam.Map(lambda outcome: (outcome.item_id, outcome.parts))
            | "AssignShards" >> beam.Map(_assign, AsSingleton(cut))
        )
        places = cut | "EveryShard" >> beam.FlatMap(
            lambda shard_cut: [(index, ("", ())) for index in range(shard_cut.count)]
        )
        shards = (
            (pieces, places)
            | "WithEmptyShards" >> beam.Flatten()
            | "GroupByShard" >> beam.GroupByKey()
            | "WriteShard" >> beam.Map(_write_shard, self.spec, AsSingleton(cut))
        )
        joined = (
            outcomes
            | "SomeAtATime" >> beam.BatchElements(_JOINED, _JOINED)
            | "JoinOutcomes" >> beam.Map(join_outcomes)
        )
        return (
            outcomes.pipeline
            | "Finish" >> beam.Create([self.spec])
            | "FinishDataset" >> beam.Map(_finish, AsIter(joined), AsSingleton(cut), AsList(shards))
        )


@dataclasses.dataclass(frozen=True)
class _ShardCut:
    count: int
    shard_of: dict[str, int]


def _cut(rows_of: list[tuple[str, int]], spec: DatasetSpec) -> _ShardCut:
    check_lease(spec.lease)
    # From here on shards change, so the dataset of an earlier assembly is no longer complete.
    files.delete([spec.layout.description])
    per_shard = ROWS_PER_SHARD if spec.features else IMAGES_PER_SHARD
    count = spec.shard_format.count(sum(rows for _, rows in rows_of), per_shard)
    return _ShardCut(count, cut_shards(rows_of, count))


def _assign(piece: _Piece, cut: _ShardCut) -> tuple[int, _Piece]:
    item_id, _ = piece
    return cut.shard_of[item_id], piece


def _write_shard(
    grouped: tuple[int, Iterable[_Piece]], spec: DatasetSpec, cut: _ShardCut
) -> ShardRef:
    index, pieces = grouped
    parts = [path for _, paths in sorted(pieces) for path in paths]
    kept = kept_by_work(spec.lease)
    with kept, timed("write_shard"), repaired_by_another_pass(), _all_damaged_deleted(parts):
        rows, sums = write_shard(
            spec.layout,
            index,
            cut.count,
            parts,
            spec.rows,
            spec.features,
            spec.shard_format,
            dict(spec.metadata),
        )
    return ShardRef(index, rows, tuple(sums))


@contextlib.contextmanager
def _all_damaged_deleted(parts: Sequence[str]) -> Iterator[None]:
    """Where one part is damaged, delete all of the shard's that are, so that one pass is enough."""
    try:
        yield
    except DamagedError:
        for path in parts:
            try:
                collections.deque(read_part(path), 0)
            except DamagedError as error:
                say(error, "the block is done again")
                files.delete([path])
            except FileNotFoundError:
                continue
        raise


def _finish(
    spec: DatasetSpec, outcomes: Iterable[JoinedOutcomes], cut: _ShardCut, shards: list[ShardRef]
) -> dict[str, Any]:
    with kept_by_work(spec.lease):
        description = finish_dataset(spec, outcomes, cut.shard_of, shards)
    release(spec.lease)
    return description
