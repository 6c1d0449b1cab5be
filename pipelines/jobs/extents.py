"""What a start says that does a part of a job only, and the command lines that do the rest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from beamscope.pipelines.jobs.hold import workers_outlive_this_process
from beamscope.pipelines.jobs.job import Steps
from beamscope.pipelines.jobs.models import ChosenModel
from beamscope.pipelines.jobs.order import Order
from beamscope.pipelines.options.extent import Only
from beamscope.pipelines.terminal.summary import Finished, Summary, halved_batches
from beamscope.pipelines.terminal.words import counted, duration
from beamscope.transforms.output.layout import file_name
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.ptransforms.end_embedding import ROWS_DONE, ROWS_FAILED
from beamscope.transforms.output.ptransforms.plan_items import takes_some_of
from beamscope.transforms.output.schema import EMBEDDING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_EXTENT_FLAGS = frozenset({"--only", "--part"})


def command_for(order: Order, only: Only | None) -> str:
    """Return the command line of another start of a job, for all that is left or a part of it."""
    words = iter(shlex.split(order.command_line))
    kept = []
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in _EXTENT_FLAGS:
            kept.append(word)
        elif not equals:
            next(words, None)
    if only is not None:
        kept += ["--only", only.value]
    elif not any(word.partition("=")[0] == "--model" for word in kept):
        kept += [word for model in order.models for word in ("--model", _named(order, model))]
    return shlex.join(kept)


def _named(order: Order, model: ChosenModel) -> str:
    """Return a model as ``--model`` names it, with the name of its column if there are several."""
    if len(order.models) == 1:
        return model.settings.uri
    return f"{model.column.removeprefix(f'{EMBEDDING}_')}={model.settings.uri}"


def check_share(order: Order, steps: Steps) -> None:
    """Check that a job can be done in parts, where a start is to do one.

    Raises:
      InputError: ``bad_option``.
    """
    share = order.extent.share
    if share is None:
        return
    if workers_outlive_this_process(order.options):
        raise InputError(
            Kind.BAD_OPTION,
            f"--part {share}: is for tasks on machines of your own, and this runner spreads the "
            "work by itself; leave it out, or choose another --runner_config",
        )
    if steps.prepare is not None:
        raise InputError(
            Kind.BAD_OPTION,
            f"--part {share}: --sample_total draws from all {order.job.items} together, so that no "
            "part can be done alone; leave one of them out, or use --sample",
        )


def embedding_summary(
    order: Order, steps: Steps, finished: Finished, progress: ProgressReader
) -> Summary:
    """Return the summary of a start that has embedded and not assembled.

    Like a whole job it has failed where more than ``--max_failed`` of its items failed, or of their
    patches or films.

    Args:
      order: the job.
      steps: its own steps.
      finished: its run.
      progress: reads the progress of the whole output.
    """
    job, limit = order.job, order.args.max_failed
    now = progress.read()
    share = order.extent.share
    own = {
        file_name(request.id)
        for request in order.requests
        if takes_some_of(share, steps.planner, request)
    }
    failed = len(own & progress.failed_items())
    done, rows_failed = (finished.counters.get(name, 0) for name in (ROWS_DONE, ROWS_FAILED))
    faults = []
    for what, bad, all_of in ((job.items, failed, len(own)), (job.unit, rows_failed, done)):
        if bad > limit * all_of:
            faults.append(
                f"{bad / all_of:.0%} of the {what} failed, more than --max_failed {limit:g}"
            )
    models = len(order.models)
    by_models = f" by {models} models together" if models > 1 else ""
    lines = [
        *([("part", f"{share} of {counted(len(order.requests), job.items)}")] if share else []),
        (job.items, f"{len(own):,}" + (f", of which {failed:,} failed" if failed else "")),
        (job.unit, f"{done:,} planned = {done - rows_failed:,} embedded or left out + "
                   f"{rows_failed:,} failed{by_models}"),
        *(("model", text) for text in halved_batches(finished.counters)),
        ("time", duration(finished.seconds)),
        *_left(order, now.rows_planned - now.rows_done, now.items - len(progress.known_items())),
    ]  # fmt: skip
    internals = [(name, f"{number:,}") for name, number in sorted(finished.counters.items())]
    return Summary(tuple(faults), (), tuple(lines), tuple(internals))


def _left(order: Order, rows: int, items: int) -> Iterator[tuple[str, str]]:
    job = order.job
    left = [
        *([f"{counted(items, job.items)} without a plan"] if items else []),
        *([f"{counted(rows, job.unit)} to {'embed' if job.embeds else 'encode'}"] if rows else []),
    ]
    others = ", for other parts" if left and order.extent.share is not None else ""
    yield "left", (" and ".join(left) or "nothing to embed") + others
    if not left:
        yield "next", command_for(order, Only.ASSEMBLE)
