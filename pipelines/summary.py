"""The short table at the end of a job."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.job import Finished
from transforms import files
from transforms.output.dataset import read_description
from transforms.output.layout import Layout

_STATUSES = ("done", "partial", "empty", "failed")


def print_summary(layout: Layout, table_name: str, finished: Finished | None) -> float:
    """Prints what became of a job, from what lies in its output.

    Args:
      layout: of the dataset.
      table_name: ``slides`` or ``images``.
      finished: of the run; None where everything was complete before.

    Returns:
      the fraction of slides or films that failed.
    """
    description = read_description(layout.root)
    if description is None:
        raise RuntimeError(f"{layout.description} was not written")
    with files.open_read(layout.table(table_name)) as file:
        table = pq.read_table(file)
    statuses: Mapping[str, int] = description["counts"][table_name]
    problems: Mapping[str, int] = description["counts"]["problems"]
    planned, embedded, failed = (
        pc.sum(table[f"patches_{name}"]).as_py() or 0 for name in ("planned", "embedded", "failed")
    )
    lines = [
        ("slides", _list({name: statuses.get(name, 0) for name in _STATUSES if name in statuses})),
        ("patches", f"{planned:,} planned = {embedded:,} embedded + {failed:,} failed"),
        ("seconds", "complete before: nothing to do" if finished is None else _effort(finished)),
        ("problems", _list(problems) if problems else "none"),
        ("dataset", f"{len(description['shards'])} shard(s) in {layout.root}"),
    ]
    first = next(iter(table.filter(pc.field("patches_embedded") > 0)["slide_id"].to_pylist()), None)
    if first is not None:
        lines.append(("picture", layout.picture(first)))
    print()
    for name, text in lines:
        print(f"  {name:<9} {text}")
    return statuses.get("failed", 0) / max(1, table.num_rows)


def _effort(finished: Finished) -> str:
    count = finished.counters.get
    return (
        f"{finished.seconds:.1f}; slides planned: {count('slides_planned', 0)} now, "
        f"{count('slides_planned_before', 0)} before; blocks embedded: "
        f"{count('blocks_embedded', 0)} now, {count('blocks_embedded_before', 0)} before"
    )


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
