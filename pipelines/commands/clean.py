"""`beamscope clean`: remove what a finished dataset does not need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.options.command_line import Parser, place
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.pipelines.terminal.words import about, counted
from beamscope.transforms.faults.run import run_id
from beamscope.transforms.output.cleaning import (
    BLOCKS,
    WHOLE,
    Removable,
    clean,
    find_cleaned,
    find_removable,
    is_finished,
)
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.leases.held import held
from beamscope.transforms.output.run_record import RunRecord, read_run_record
from beamscope.transforms.output.verify import check_dataset
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

_DAMAGED_SHOWN = 3


def run(argv: Sequence[str]) -> int:
    """Say what can be removed of an output, or remove it, and return the exit status.

    Raises:
      InputError: ``no_run`` if it is not the output of a job; ``unfinished`` if its dataset is not
        complete and whole; ``already_running``.
    """
    quiet()
    parser = Parser(
        prog="beamscope clean",
        description="Say what of an output its finished dataset does not need, and how large it "
        "is; with --yes, remove it: finished blocks, work of other settings, records of tries and "
        "logs. The dataset, its plans and its records stay. What is removed cannot be had back, "
        "and no slide can be added to the dataset then without embedding all of them again.",
    )
    parser.add_argument(
        "output", metavar="OUTPUT", type=place("output"), help="output directory of the job"
    )
    parser.add_argument("--yes", action="store_true", help="remove it (default: only say it)")
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="also of an output whose dataset is not complete: what is embedded for it is lost",
    )
    args = parser.parse_args(list(argv))
    root = args.output
    with files.refusals(Kind.NO_RUN):
        record = read_run_record(root)
    if record is None:
        raise InputError(Kind.NO_RUN, f"{root}: is not the output of a beamscope job")
    if not args.yes:
        description = _checked(root, record, unfinished=args.unfinished, whole=False)
        layout = record.layout(root)
        print(_text(layout, record, find_removable(layout), description, done=False))
        return 0
    with (
        files.refusals(Kind.UNWRITABLE_OUTPUT, f"{root}: cannot be cleaned: "),
        held(root, run_id(), process=os.getpid()),
    ):
        # Another start may have changed it until now.
        record = read_run_record(root) or record
        description = _checked(root, record, unfinished=args.unfinished, whole=True)
        layout = record.layout(root)
        found = find_removable(layout)
        clean(layout, found)
    print(_text(layout, record, found, description, done=True))
    return 0


def _checked(
    root: str, record: RunRecord, *, unfinished: bool, whole: bool
) -> Mapping[str, Any] | None:
    """Return the description of the dataset; None if it is not finished, and need not be.

    Args:
      root: the output directory.
      record: of its last start.
      unfinished: whether it need not be finished.
      whole: whether to check that its files are what was written.

    Raises:
      InputError: ``unfinished``.
    """
    layout = record.layout(root)
    description = read_description(root)
    if unfinished:
        return description if is_finished(record, layout, description) else None
    if description is None or not is_finished(record, layout, description):
        raise InputError(
            Kind.UNFINISHED,
            f"{root}: its dataset is not complete, so that what is embedded would be lost; finish "
            "it by the command of the job, or give --unfinished",
        )
    damaged = check_dataset(root, description) if whole else []
    if damaged:
        shown = "; ".join(str(error) for error in damaged[:_DAMAGED_SHOWN])
        raise InputError(
            Kind.UNFINISHED,
            f"{root}: {len(damaged):,} files of its dataset are damaged ({shown}), and are made "
            "again of what would be removed; give the command of the job first",
        )
    return description


def _text(
    layout: Layout,
    record: RunRecord,
    found: Removable,
    description: Mapping[str, Any] | None,
    *,
    done: bool,
) -> str:
    lines = [
        (size, f"{kind}, {counted(number, 'files')}")
        for kind, (number, size) in sorted(found.kinds.items(), key=lambda one: -one[1][1])
    ]
    shown = [(f"{_size(size):>10}", text) for size, text in lines]
    total = "removed" if done else "can be removed"
    shown.append((f"{_size(found.bytes):>10}", f"{total} from {layout.root}"))
    text = "\n".join(f"  {size}  {what}" for size, what in shown)
    notes = list(_notes(record, layout, found, description))
    if not done and found.kinds:
        notes.append("Nothing has been removed: give --yes to remove it.")
    return "\n".join([text, *(f"  {note}" for note in notes)])


def _notes(
    record: RunRecord, layout: Layout, found: Removable, description: Mapping[str, Any] | None
) -> Iterator[str]:
    """Yield what removing costs later, in sentences."""
    job = JOBS.get(record.job) if record.job in JOBS else None
    items = counted(record.items, job.items if job else "items")
    unit = job.unit if job else "rows"
    done = "embedded" if job is None or job.embeds else "encoded"
    if BLOCKS in found.kinds and description is not None:
        rows = description["counts"]["rows"]
        speed = found.rows_per_second
        time = (
            f", about {about(rows / speed)} at the {speed:,.0f} a second of its last blocks"
            if speed
            else ""
        )
        yield (
            f"Without the finished blocks, the dataset stays as it is. To add to it, to try failed "
            f"items again, or to write another format, all of {items} must be {done} again: "
            f"{rows:,} {unit}{time}."
        )
    elif BLOCKS in found.kinds:
        yield f"The dataset is not complete: what is {done} so far of {items} is lost."
    if WHOLE in found.kinds:
        yield "Without the plans before the sample, another sample plans every item again."
    if BLOCKS not in found.kinds and (cleaned := find_cleaned(layout.root)) is not None:
        yield f"Its finished blocks were removed on {cleaned.day}."
    if layout.root.startswith("gs://"):
        yield (
            "A bucket with soft delete keeps and bills what is removed for 7 days or as it is set "
            "(docs/storage.md)."
        )
    elif layout.root.startswith("s3://"):
        yield "A bucket with versioning keeps and bills what is removed (docs/storage.md)."


def _size(size: int) -> str:
    value, units = float(size), ("B", "kB", "MB", "GB", "TB")
    for unit in units[:-1]:
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.2f} {units[-1]}"
