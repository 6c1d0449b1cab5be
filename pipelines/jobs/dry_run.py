"""`--dry_run`: say what a job would do. Nothing is planned, read or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beamscope.pipelines.jobs.order import Order, complete_before, request_digest
from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.pipelines.terminal.words import counted
from beamscope.transforms.fingerprints import declared_fields
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.output.claim import check_claim, embeddings_in
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import finished_parts
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.run_record import RunRecord
from beamscope.transforms.output.sealed import DamagedError

# Each plan that is looked at costs a request to a store.
_LOOKERS = 32


@dataclasses.dataclass(frozen=True)
class _Found:
    """What an output holds of one requested item.

    Attributes:
      planned: whether it has a plan that still holds.
      rows: planned patches or films; None if unknown.
      rows_done: those of finished blocks.
    """

    planned: bool
    rows: int | None = None
    rows_done: int = 0


def dry_run(order: Order, record: RunRecord) -> str:
    """Return what a job would do, a line for each part of it.

    Raises:
      InputError: the output is refused, as by the job itself.
    """
    args = order.args
    check_claim(args.output, record, overwrite=args.overwrite)
    layout = record.layout(args.output)
    lines = [
        ("dry run", "everything was checked; nothing was planned, read or written"),
        *_requested(order),
        *_models(order),
        ("settings", ", ".join(f"{name} {_short(value)}" for name, value in _settings(order))),
        ("runner", _runner(order)),
        *_would(order, layout),
    ]
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"  {label:<{width}}  {text}" for label, text in lines)


def _requested(order: Order) -> Iterable[tuple[str, str]]:
    yield order.job.items, f"{len(order.requests):,}"
    if order.extent.share is not None:
        yield "part", f"{order.extent.share} of what follows"
    left_out = {name: count for name, count in order.left_out.items() if count}
    if left_out:
        yield (
            "left out",
            ", ".join(
                f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(left_out.items())
            ),
        )


def _runner(order: Order) -> str:
    config = order.args.runner_config
    name = runner_name(order.options)
    return f"{name} (--runner_config {config})" if config else name


def _models(order: Order) -> Iterable[tuple[str, str]]:
    for place, model in enumerate(order.models):
        column = f"{model.column}: " if len(order.models) > 1 else ""
        yield ("" if place else "model"), column + _model(model.spec)


def _model(spec: ModelSpec) -> str:
    size = f"{spec.input_size} x {spec.input_size}"
    return (
        f"{spec.name}: {spec.input_dtype} images of {size} px, {spec.values_text()} "
        f"({spec.range_source}), to {spec.features:,} features in {spec.precision}"
    )


def _settings(order: Order) -> Iterable[tuple[str, Any]]:
    for field in declared_fields(order.settings):
        if field.value not in (None, (), "", False, frozenset()):
            yield field.name, field.value


def _short(value: Any) -> str:
    if isinstance(value, (tuple, frozenset)):
        return "+".join(sorted(map(str, value))) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _would(order: Order, layout: Layout) -> Iterable[tuple[str, str]]:
    job, args = order.job, order.args
    shards, parts = embeddings_in(args.output)
    if args.overwrite and (shards or parts):
        yield (
            "delete",
            (
                f"{counted(shards, 'shards')} and {counted(parts, 'finished blocks')} in "
                f"{args.output}; plans with the same settings stay (--overwrite)"
            ),
        )
    elif complete_before(layout, job, request_digest(order)):
        yield "would", f"do nothing: the dataset in {args.output} is complete"
        return
    formats = " and ".join(order.shard_format.formats)
    what = f"{order.shard_format.dtype} embeddings" if job.embeds else f"encoded {job.unit}"
    write = f"write {formats} with {what} to {args.output}"
    if not order.extent.embeds:
        yield "would", f"{write}, if every planned block is there (--only assemble)"
        return
    planner = job.steps(order.settings, args, layout).planner
    found = _look(planner, layout, order.requests, with_parts=not args.overwrite)
    planned = [one for one in found if one.planned]
    new = len(found) - len(planned)
    known = [one for one in planned if one.rows is not None]
    # Of several models, each embeds every row.
    models = len(layout.each())
    rows = models * sum(one.rows or 0 for one in known)
    done = sum(one.rows_done for one in planned)
    steps = []
    verb = "embed" if job.embeds else "encode"
    if planned:
        text = (
            f"{verb} {max(0, rows - done):,} {job.unit} of the {counted(len(planned), job.items)}"
        )
        each = f" by {models} models together" if models > 1 else ""
        steps.append(f"{text} that an earlier start planned{each}; {done:,} are done")
    if new:
        steps.append(f"plan {counted(new, job.items)}, and {verb} the {job.unit} found there")
    for place, step in enumerate(steps):
        yield "" if place else "would", step
    why = "--only embed" if order.extent.share is None else f"--part {order.extent.share}"
    yield "", write if order.extent.assembles else f"write no dataset ({why})"


def _look(
    planner: ItemPlanner[Any, Any], layout: Layout, requests: Iterable[Any], *, with_parts: bool
) -> list[_Found]:
    def look(request: Any) -> _Found:
        try:
            plan = planner.find(layout, request)
        except DamagedError:
            plan = None
        if plan is None:
            return _Found(False)
        sizes = planner.block_sizes(plan)
        done = finished_parts(layout, request.id, sizes) if with_parts else []
        return _Found(
            True, None if sizes is None else sum(sizes), sum(part.planned for part in done)
        )

    with ThreadPoolExecutor(_LOOKERS) as lookers:
        return list(lookers.map(look, requests))
