"""The summary that a job prints at its end."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.pipelines.terminal.words import counted, duration
from beamscope.transforms.inference.device_calls import HALVED_BATCHES
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.storage import files

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job

# In the order in which the summary lists them.
_STATUSES = ("done", "partial", "empty", "failed")
_PROBLEMS_SHOWN = 5
_REASONS_SHOWN = 3
_LEFT_OUT = "left_out_"
_LABEL_WIDTH = 9


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run of a pipeline.

    Attributes:
      seconds: its duration.
      counters: its counters by name.
    """

    seconds: float
    counters: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The summary of a job.

    Attributes:
      faults: one sentence for each reason why the job failed; empty if it succeeded.
      warnings: one sentence for each thing that the user has surely not meant.
      lines: (label, text) in order; a label may be empty.
      internals: likewise, for those who look into how the job worked.
    """

    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    lines: tuple[tuple[str, str], ...]
    internals: tuple[tuple[str, str], ...] = ()

    def with_log(self, path: str) -> Summary:
        """Return the summary with the path of the log."""
        return dataclasses.replace(self, lines=(*self.lines, ("log", path)))

    def text(self, *, verbose: bool = False) -> str:
        """Return the text to print, with `verbose` the internals too."""
        shown = [
            *(("FAILED", fault) for fault in self.faults),
            *(("WARNING", warning) for warning in self.warnings),
            *self.lines,
            *(self.internals if verbose else ()),
        ]
        return "\n".join(f"  {label:<{_LABEL_WIDTH}} {text}".rstrip() for label, text in shown)


def read_summary(
    job: Job, settings: Any, layout: Layout, finished: Finished | None, *, max_failed: float
) -> Summary:
    """Return the summary of a job, read from its output.

    Args:
      job: the job.
      settings: the job's settings.
      layout: paths of the dataset.
      finished: the run; None if everything was complete before.
      max_failed: the fraction of the items that may fail.

    Raises:
      RuntimeError: the run ended without writing the description.
    """
    description = read_description(layout.root)
    if description is None:
        raise RuntimeError(f"{layout.description} was not written")
    with files.open_read(layout.table(job.table_name)) as file:
        table = pq.read_table(file)
    counts = description["counts"]
    statuses: Mapping[str, int] = counts[job.table_name]
    own = list(job.told_at_the_end(layout, table, counts))
    shards = len(description["shards"])
    known = {name: statuses[name] for name in _STATUSES if name in statuses}
    lines = [
        (job.listed, f"{counted(table.num_rows, job.listed)}: {_list(known) or 'none'}"),
        *own[:1],
        ("time", _time(finished, job.items)),
        *_model(description, finished),
        *_repaired(finished),
        *_empty(table),
        *_left_out(counts),
        *_problems(layout, counts["problems"]),
        (
            "dataset",
            f"{counted(counts['rows'], 'rows')} in {counted(shards, 'shards')} in {layout.root}",
        ),
        *own[1:],
    ]
    failed = statuses.get("failed", 0) / max(1, table.num_rows)
    faults = []
    if failed > max_failed:
        faults.append(
            f"{failed:.0%} of the {job.table_name} failed, more than --max_failed {max_failed:g}"
        )
    elif not counts["rows"]:
        faults.append(f"there is no embedding: of the {job.table_name}, {_list(statuses)}")
    return Summary(
        tuple(faults),
        tuple(job.warnings(settings, table)),
        tuple(lines),
        tuple(_internals(layout, finished, job.items)),
    )


def _repaired(finished: Finished | None) -> list[tuple[str, str]]:
    """Return the line that counts what was damaged and was made again; no line if nothing was."""
    counters = finished.counters if finished else {}
    counts = ((what, counters.get(f"{what}s_damaged", 0)) for what in ("plan", "part"))
    found = [f"{number:,} {what}{'s' * (number > 1)}" for what, number in counts if number]
    return [("repaired", f"damaged, and made again: {', '.join(found)}")] if found else []


def _empty(table: pa.Table) -> list[tuple[str, str]]:
    """Return the line that counts items with nothing to embed, by reason."""
    if "reason" not in table.column_names:
        return []
    rows = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
    # After a colon, a reason may have numbers of its own.
    reasons = collections.Counter(
        (reason or "no reason given").partition(":")[0] for status, reason in rows
        if status == "empty"
    )  # fmt: skip
    if not reasons:
        return []
    common = reasons.most_common(_REASONS_SHOWN)
    shown = "; ".join(f"{count:,} {reason}" for reason, count in common)
    more = len(reasons) - _REASONS_SHOWN
    return [("empty", shown + (f"; {more} more reasons" if more > 0 else ""))]


def _left_out(counts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the line that counts files that were found but not requested, by reason."""
    found = {
        name.removeprefix(_LEFT_OUT).replace("_", " "): count
        for name, count in counts.items()
        if name.startswith(_LEFT_OUT) and count
    }
    return [("left out", _list(found, by_name=True))] if found else []


def _problems(layout: Layout, kinds: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the lines for the first problems, and for the number of others by kind."""
    total = sum(kinds.values())
    if not total:
        return [("problems", "none")]
    shown = _first_problems(layout)
    lines = [("problems", f"{total:,}")]
    lines += [("", f"{problem['item_id']}: {problem['message']}") for problem in shown]
    left = collections.Counter(kinds)
    left.subtract(problem["kind"] for problem in shown)
    more = {kind: count for kind, count in sorted(left.items()) if count > 0}
    if more:
        lines.append(("", f"and {_list(more)} more: beamscope problems {layout.root}"))
    remedies = {kind.remedy for kind in Kind if kind in kinds} - {""}
    lines += [("", f"remedy: {remedy}") for remedy in sorted(remedies)]
    return lines


def _first_problems(layout: Layout) -> list[dict[str, Any]]:
    with files.open_read(layout.problems) as file:
        for batch in pq.ParquetFile(file).iter_batches(_PROBLEMS_SHOWN):
            rows: list[dict[str, Any]] = batch.to_pylist()
            return rows
    return []


def _model(description: Mapping[str, Any], finished: Finished | None) -> list[tuple[str, str]]:
    """Return the lines about the model: the compilers of this run, and an assumed input range."""
    prefix = "blocks_by_"
    counters = finished.counters if finished else {}
    blocks = {name[len(prefix) :]: counters[name] for name in counters if name.startswith(prefix)}
    models = description.get("models") or [description["model"] or {}]
    lines: list[tuple[str, str]] = []
    if blocks:
        # There are several only if workers differ, or if one failed to compile.
        ways = " and ".join(
            ("the plain call" if compiler == "none" else compiler)
            + (f" ({count:,} blocks)" if len(blocks) > 1 else "")
            for compiler, count in sorted(blocks.items())
        )
        by = "by" if set(blocks) == {"none"} else "compiled by"
        text = f"{models[0]['precision']}, {by} {ways}"
        cosine = models[0].get("cosine") if len(models) == 1 else None
        text += f", cosine {cosine:.6f} with float32" if cosine else ""
        lines.append(("models" if len(models) > 1 else "model", text))
    lines += [("", text) for text in halved_batches(counters)]
    for model in models:
        column = f"{model['column']}: " if len(models) > 1 else ""
        cosine = model.get("cosine") if len(models) > 1 else None
        if cosine:
            lines.append(("", f"{column}cosine {cosine:.6f} with float32"))
        if lacking := description["counts"].get(f"lacking_{model.get('column')}"):
            lines.append(("", f"{column}{lacking:,} rows have no embedding of this model"))
        if model.get("range_source") == "assumed":
            text = f"input range {model['input_range']} is assumed: the model names none"
            lines.append(("", f"{column}{text} (--input_range)"))
    return lines


def halved_batches(counters: Mapping[str, int]) -> list[str]:
    """Return a line for each size to which batches were halved for lack of memory.

    Args:
      counters: of the run, by name.
    """
    found = {
        int(name.removeprefix(HALVED_BATCHES)): number
        for name, number in counters.items()
        if name.startswith(HALVED_BATCHES)
    }
    return [
        f"{number:,} blocks in batches halved to {size} for lack of memory (--batch_size)"
        for size, number in sorted(found.items())
    ]


def _time(finished: Finished | None, items: str) -> str:
    if finished is None:
        return "complete before: nothing to do"
    earlier = finished.counters.get("blocks_embedded_before", 0)
    planned = finished.counters.get(f"{items}_planned_before", 0)
    text = duration(finished.seconds)
    return f"{text}; an earlier start had done part of the work" if earlier or planned else text


def _internals(layout: Layout, finished: Finished | None, items: str) -> Iterable[tuple[str, str]]:
    """Yield the fingerprints, and the counts of plans and blocks."""
    yield "work", f"plan {layout.plan_fingerprint}, embedding {layout.fingerprint}"
    if finished is None:
        return
    count = finished.counters.get
    yield (
        "",
        (
            f"{items} planned: {count(f'{items}_planned', 0)} now, "
            f"{count(f'{items}_planned_before', 0)} before; blocks embedded: "
            f"{count('blocks_embedded', 0)} now, {count('blocks_embedded_before', 0)} before"
        ),
    )
    for name, number in sorted(finished.counters.items()):
        yield "", f"{name} {number:,}"


def _list(counts: Mapping[str, int], by_name: bool = False) -> str:
    items: Sequence[tuple[str, int]] = sorted(counts.items()) if by_name else list(counts.items())
    return ", ".join(f"{count:,} {name}" for name, count in items)
