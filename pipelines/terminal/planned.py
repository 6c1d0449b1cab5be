"""What `beamscope plan` prints and writes."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from beamscope.pipelines.terminal.summary import Finished
from beamscope.pipelines.terminal.words import about, counted
from beamscope.transforms.output.planned import PlannedItem
from beamscope.transforms.problem_kinds import Kind

if TYPE_CHECKING:
    from beamscope.pipelines.estimates.costs import Estimate
    from beamscope.pipelines.jobs.job import Job

_LABEL_WIDTH = 10
_ITEMS_SHOWN = 12
_FAILED_SHOWN = 5
_BYTES_OF = {"float32": 4, "float16": 2}
# Coordinates, ids and so on: about, before compression.
_ROW_BYTES = 40
_STEPS = {
    "outside_tissue": "outside tissue",
    "outside_mask": "outside the mask",
    "not_scanned": "not scanned",
    "below_min_tissue": "below --min_tissue",
}
_QUALITY = ("white", "black", "grey", "blurred", "ink")


@dataclasses.dataclass(frozen=True)
class Planned:
    """A job that is planned.

    Attributes:
      job: the job.
      items: one for each request, in their order.
      finished: the planning.
      features: length of an embedding.
      features_are_known: whether that is more than a guess.
      dtype: of the embeddings in the shards.
      formats: number of formats to write.
      shards: number of shards of each.
      estimate: hours and cost.
      left_out: number of files that were found and not taken, by kind of file.
      command: the command that embeds what is planned.
    """

    job: Job
    items: Sequence[PlannedItem]
    finished: Finished
    features: int
    features_are_known: bool
    dtype: str
    formats: int
    shards: int
    estimate: Estimate
    left_out: Mapping[str, int]
    command: str

    @property
    def rows(self) -> int:
        """Return the number of patches or films that are planned."""
        return sum(item.rows or 0 for item in self.items)

    @property
    def unknown(self) -> int:
        """Return the number of items of which only reading tells how many rows they have."""
        return sum(item.rows is None for item in self.items)

    @property
    def blocks(self) -> int:
        """Return the number of blocks."""
        return sum(item.blocks or 0 for item in self.items)

    @property
    def bytes_to_read(self) -> int:
        """Return about how much the job reads."""
        return sum(item.read_bytes or 0 for item in self.items)

    @property
    def bytes_to_write(self) -> int:
        """Return about how much the job writes: its parts in float32, and its shards."""
        part = self.features * _BYTES_OF["float32"] + _ROW_BYTES
        shard = self.features * _BYTES_OF[self.dtype] + _ROW_BYTES
        return self.rows * (part + shard * self.formats)

    @property
    def funnel(self) -> dict[str, int]:
        """Return where the candidates of all items went."""
        return _added(item.funnel for item in self.items)

    @property
    def poor(self) -> dict[str, int]:
        """Return how many patches with enough tissue are of poor quality, by reason."""
        return _added(item.poor for item in self.items)

    def planned_now(self, when: str = "planned") -> int:
        """Return how many items this start has planned, or found with ``planned_before``."""
        return self.finished.counters.get(f"{self.job.items}_{when}", 0)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values, without the items."""
        return {
            "job": self.job.name,
            self.job.items: len(self.items),
            "failed": {
                item.item_id: {"kind": item.kind, "message": item.message, "remedy": _remedy(item)}
                for item in self.items
                if item.failed
            },
            "planned_now": self.planned_now(),
            "planned_before": self.planned_now("planned_before"),
            self.job.unit: self.rows,
            "not_known_before_reading": self.unknown,
            "funnel": self.funnel,
            "poor": self.poor,
            "left_out": dict(self.left_out),
            "bytes_to_read": self.bytes_to_read,
            "bytes_to_write": self.bytes_to_write,
            "features": self.features,
            "blocks": self.blocks,
            "shards": self.shards,
            "estimate": dataclasses.asdict(self.estimate),
            "command": self.command,
        }


def table_of(items: Sequence[PlannedItem]) -> pa.Table:
    """Return one row for each item; steps of the funnel and reasons are columns."""
    rows = []
    for item in items:
        row = dataclasses.asdict(item)
        row |= {f"funnel_{name}": number for name, number in row.pop("funnel").items()}
        row |= {f"poor_{name}": number for name, number in row.pop("poor").items()}
        rows.append({**row, "remedy": _remedy(item)})
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = {"item_id", "uri", "kind", "message", "remedy"}
    kinds = {name: pa.string() if name in text else pa.int64() for name in names}
    kinds["failed"] = pa.bool_()
    schema = pa.schema([pa.field(name, kinds[name]) for name in names])
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], schema)


def text_of(planned: Planned, more: Iterable[tuple[str, str]] = ()) -> str:
    """Return what is printed.

    Args:
      planned: the plan.
      more: further lines, label and text each.
    """
    lines = [
        *_items(planned),
        *_rows(planned),
        *_failed(planned),
        *_amounts(planned),
        *_time(planned),
        *more,
        ("next", planned.command),
    ]
    return "\n".join(f"  {label:<{_LABEL_WIDTH}} {text}".rstrip() for label, text in lines)


def _items(planned: Planned) -> list[tuple[str, str]]:
    items, job = planned.items, planned.job
    failed = sum(item.failed for item in items)
    empty = sum(item.rows == 0 and not item.failed for item in items)
    parts = [f"{len(items) - failed - empty:,} planned"]
    parts += [f"{empty:,} empty"] if empty else []
    parts += [f"{failed:,} will fail"] if failed else []
    text = (
        f"{len(items):,}: {', '.join(parts)}; planned: {planned.planned_now()} now, "
        f"{planned.planned_now('planned_before')} before"
    )
    lines = [(job.items, text)]
    width = max((len(item.item_id) for item in items[:_ITEMS_SHOWN]), default=0)
    for item in items[:_ITEMS_SHOWN]:
        count = "not known before it is read" if item.rows is None else f"{item.rows:,}"
        why = f"  {item.kind}" if item.failed else f"  {item.message}" if not item.rows else ""
        lines.append(("", f"  {item.item_id:<{width}}  {count:>9}{why if item.message else ''}"))
    if len(items) > _ITEMS_SHOWN:
        lines.append(("", f"  and {len(items) - _ITEMS_SHOWN:,} more"))
    if planned.left_out:
        named = ", ".join(f"{count:,} {kind}" for kind, count in planned.left_out.items())
        lines.append(("left out", named))
    return lines


def _rows(planned: Planned) -> list[tuple[str, str]]:
    job, funnel = planned.job, planned.funnel
    total = f"{planned.rows:,}"
    if planned.unknown:
        total += f", and those of {counted(planned.unknown, job.items)} that only reading tells"
    if funnel.get("candidates"):
        total += f" of {funnel['candidates']:,} candidates"
    lines = [(job.unit, total)]
    for step, number in funnel.items():
        if step in ("candidates", "taken") or not number:
            continue
        name = f"left out by --drop: {step}" if step in _QUALITY else _STEPS.get(step)
        lines.append(("", f"  {number:>11,} {name or step.replace('_', ' ')}"))
    poor = planned.poor
    kept = [reason for reason in _QUALITY if poor.get(reason) and reason not in funnel]
    if kept:
        named = ", ".join(f"{poor[reason]:,} {reason}" for reason in kept)
        lines.append(("quality", f"{named} (at 8 µm/px; --drop REASON leaves them out)"))
    unmeasured = sum(bool(item.rows and item.funnel and not item.poor) for item in planned.items)
    if unmeasured and "outside_tissue" in funnel:
        what = f"not measured of {counted(unmeasured, job.items)} that a job has planned"
        lines.append(("quality" if not kept else "", what))
    return lines


def _failed(planned: Planned) -> list[tuple[str, str]]:
    failed = [item for item in planned.items if item.failed]
    if not failed:
        return []
    lines = [("will fail", "")]
    lines += [("", f"  {item.item_id}: {item.message}") for item in failed[:_FAILED_SHOWN]]
    if len(failed) > _FAILED_SHOWN:
        kinds = collections.Counter(str(item.kind) for item in failed[_FAILED_SHOWN:])
        named = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        lines.append(("", f"  and {named} more"))
    for remedy in dict.fromkeys(_remedy(item) for item in failed):
        if remedy:
            lines.append(("", f"remedy: {remedy}"))
    return lines


def _remedy(item: PlannedItem) -> str | None:
    return next((kind.remedy or None for kind in Kind if kind == item.kind), None)


def _amounts(planned: Planned) -> list[tuple[str, str]]:
    known = "" if planned.features_are_known else " (assumed: --features)"
    shards = counted(planned.shards, "shards")
    return [
        ("read", f"about {_bytes(planned.bytes_to_read)}"),
        (
            "write",
            f"about {_bytes(planned.bytes_to_write)} with {planned.features:,} features{known}",
        ),
        ("blocks", f"{planned.blocks:,}; {shards}"),
    ]


def _time(planned: Planned) -> list[tuple[str, str]]:
    found = planned.estimate
    machines = f"{found.workers:,} x {found.machine}" if found.workers > 1 else found.machine
    lines = []
    if found.rate is not None and found.hours is not None:
        lines += [
            ("time", f"about {about(found.hours * 3600)} on {machines}, at "
                     f"{found.rate.images_per_second:,.1f} {planned.job.unit} a second each"),
            ("", f"rate: {found.rate.source}"),
        ]  # fmt: skip
    if found.cost is not None:
        lines += [
            ("cost", f"{_money(found.cost)} {found.currency}, without storage and network"),
            ("", f"prices: {found.prices}"),
        ]
    if found.rate is not None:
        lines.append(("", f"table: {found.table} (--costs takes another)"))
    if found.missing:
        lines.append(("time" if found.rate is None else "cost", f"not known: {found.missing}"))
    return lines


def _money(cost: float) -> str:
    return f"about {cost:,.2f}" if cost >= 0.01 else "less than 0.01"


def _bytes(number: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1e3:.0f} kB"


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in counts:
        for name, number in some.items():
            total[name] = total.get(name, 0) + number
    return total
