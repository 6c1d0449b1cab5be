"""What a start says that does a part of a job only, and the command lines that do the rest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from beamscope.pipelines.jobs.order import Order
from beamscope.pipelines.options.extent import Only
from beamscope.pipelines.terminal.summary import Finished, Summary
from beamscope.pipelines.terminal.words import counted, duration
from beamscope.transforms.output.layout import file_name
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.ptransforms.end_embedding import ROWS_DONE, ROWS_FAILED

_EXTENT_FLAGS = frozenset({"--only"})


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
    elif order.model is not None and not any(w.partition("=")[0] == "--model" for w in kept):
        kept += ["--model", order.model.uri]
    return shlex.join(kept)


def embedding_summary(order: Order, finished: Finished, progress: ProgressReader) -> Summary:
    """Return the summary of a start that has embedded and not assembled.

    Like a whole job it has failed where more than ``--max_failed`` of its items failed, or of their
    patches or films.

    Args:
      order: the job.
      finished: its run.
      progress: reads the progress of the whole output.
    """
    job, limit = order.job, order.args.max_failed
    now = progress.read()
    own = {file_name(request.id) for request in order.requests}
    failed = len(own & progress.failed_items())
    done, rows_failed = (finished.counters.get(name, 0) for name in (ROWS_DONE, ROWS_FAILED))
    faults = []
    for what, bad, all_of in ((job.items, failed, len(own)), (job.unit, rows_failed, done)):
        if bad > limit * all_of:
            faults.append(
                f"{bad / all_of:.0%} of the {what} failed, more than --max_failed {limit:g}"
            )
    lines = [
        (job.items, f"{len(own):,}" + (f", of which {failed:,} failed" if failed else "")),
        (job.unit, f"{done:,} planned = {done - rows_failed:,} embedded or left out + "
                   f"{rows_failed:,} failed"),
        ("time", duration(finished.seconds)),
        *_left(order, now.rows_planned - now.rows_done, now.items - len(progress.known_items())),
    ]  # fmt: skip
    internals = [(name, f"{number:,}") for name, number in sorted(finished.counters.items())]
    return Summary(tuple(faults), (), tuple(lines), tuple(internals))


def _left(order: Order, rows: int, items: int) -> Iterator[tuple[str, str]]:
    job = order.job
    left = [
        *([f"{counted(items, job.items)} have no plan"] if items else []),
        *([f"{counted(rows, job.unit)} are not embedded"] if rows else []),
    ]
    yield "left", " and ".join(left) or "nothing to embed"
    if not left:
        yield "next", command_for(order, Only.ASSEMBLE)
