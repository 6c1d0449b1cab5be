"""`beamscope verify`: check whether all files of an output are what was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from beamscope.pipelines.options.command_line import Parser, place
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.output.layout import run_record
from beamscope.transforms.output.verify import Verification, verify_output
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

OK, DAMAGED = 0, 3


def run(argv: Sequence[str]) -> int:
    """Verify an output, print what is wrong, and return the exit status.

    Raises:
      InputError: ``no_run`` if it is not the output of a job, or cannot be listed.
    """
    quiet()
    parser = Parser(
        prog="beamscope verify",
        description="Check whether the files of an output are what was written: shards, tables, "
        "plans and finished blocks, each with its checksum. Exit status 0: the dataset is complete "
        "and as it was written; 3: it is not. Nothing is changed. The command of the job "
        "makes damaged files again.",
    )
    parser.add_argument(
        "output", metavar="OUTPUT", type=place("output"), help="output directory of the job"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    args = parser.parse_args(list(argv))
    root = args.output
    with files.refusals(Kind.NO_RUN):
        description = files.join(root, "dataset.json")
        if not (files.exists(description) or files.exists(run_record(root))):
            raise InputError(Kind.NO_RUN, f"{root}: is not the output of a beamscope job")
        found = verify_output(root)
    print(json.dumps(_to_json(root, found)) if args.json else text(root, found))
    return OK if found.complete and not found.damaged else DAMAGED


def text(root: str, found: Verification) -> str:
    """Return what was found as a few lines of text."""
    lines = [
        (
            "dataset",
            f"{found.dataset_files:,} files, {_megabytes(found.dataset_bytes)}"
            if found.complete
            else "not complete",
        ),
        (
            "work",
            f"{found.plans:,} plans and {found.parts:,} finished blocks, "
            f"{_megabytes(found.work_bytes)}",
        ),
    ]
    lines += [
        ("DAMAGED", f"{_relative(root, error.path)}: {error.reason}") for error in found.damaged
    ]
    if found.damaged:
        lines.append(("", "remedy: the command of the job makes these again"))
    elif found.complete:
        lines.append(("", "all of it is as it was written"))
    return "\n".join(f"  {label:<9} {line}".rstrip() for label, line in lines)


def _to_json(root: str, found: Verification) -> dict[str, Any]:
    return {
        "complete": found.complete,
        "dataset_files": found.dataset_files,
        "dataset_bytes": found.dataset_bytes,
        "plans": found.plans,
        "parts": found.parts,
        "work_bytes": found.work_bytes,
        "damaged": [
            {"path": _relative(root, error.path), "reason": error.reason} for error in found.damaged
        ],
    }


def _relative(root: str, path: str) -> str:
    return path.removeprefix(files.join(root, ""))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
