"""The short table at the end of a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.storage import files

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job

# In the order in which one asks for them.
_STATUSES = ("done", "partial", "empty", "failed")


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a run of a pipeline gave: how long it took and what it counted."""

    seconds: float
    counters: Mapping[str, int]


def print_summary(job: Job, layout: Layout, finished: Finished | None) -> float:
    """Print what became of a job, from what lies in its output.

    Args:
      job: which.
      layout: of the dataset.
      finished: of the run; None where everything was complete before.

    Returns:
      the fraction of the slides or films that failed.

    Raises:
      RuntimeError: the run ended without writing the description.
    """
    description = read_description(layout.root)
    if description is None:
        raise RuntimeError(f"{layout.description} was not written")
    table_name = job.table_name
    with files.open_read(layout.table(table_name)) as file:
        table = pq.read_table(file)
    counts = description["counts"]
    statuses: Mapping[str, int] = counts[table_name]
    own = list(job.told_at_the_end(layout, table))
    lines = [
        (table_name, _list({name: statuses[name] for name in _STATUSES if name in statuses})),
        *own[:1],
        ("seconds", _effort(finished, job.items) if finished else "complete before: nothing to do"),
        *_model(description, finished),
        ("problems", _list(counts["problems"], by_name=True) or "none"),
        ("dataset", f"{counts['rows']:,} rows in {len(description['shards'])} shard(s) in "
                    f"{layout.root}"),
        *own[1:],
    ]  # fmt: skip
    print()
    for name, text in lines:
        print(f"  {name:<9} {text}")
    return statuses.get("failed", 0) / max(1, table.num_rows)


def _model(description: Mapping[str, Any], finished: Finished | None) -> list[tuple[str, str]]:
    """What computed the embeddings of this run, where it embedded any."""
    prefix = "blocks_by_"
    counters = finished.counters if finished else {}
    blocks = {name[len(prefix) :]: counters[name] for name in counters if name.startswith(prefix)}
    if not blocks:
        return []
    # Several only where workers differ, or one could not compile.
    ways = " and ".join(
        f"{way} ({count:,} blocks)" if len(blocks) > 1 else way
        for way, count in sorted(blocks.items())
    )
    cosine = description["model"].get("cosine")
    text = f"{description['options']['precision']}, compiled by {ways}"
    return [("model", text + (f", cosine {cosine:.6f} with float32" if cosine else ""))]


def _effort(finished: Finished, sources: str) -> str:
    count = finished.counters.get
    return (
        f"{finished.seconds:.1f}; {sources} planned: {count(f'{sources}_planned', 0)} now, "
        f"{count(f'{sources}_planned_before', 0)} before; blocks embedded: "
        f"{count('blocks_embedded', 0)} now, {count('blocks_embedded_before', 0)} before"
    )


def _list(counts: Mapping[str, int], by_name: bool = False) -> str:
    items = sorted(counts.items()) if by_name else counts.items()
    return ", ".join(f"{count:,} {name}" for name, count in items)
