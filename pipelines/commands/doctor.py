"""`beamscope doctor`: check what a job needs on this machine, with a remedy for what is missing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from beamscope.pipelines.options.command_line import Parser, place
from beamscope.pipelines.terminal.live import activities_shown
from beamscope.pipelines.terminal.quiet import import_tensorflow, quiet
from beamscope.transforms.checkup.checks import Check
from beamscope.transforms.checkup.machine import machine_checks
from beamscope.transforms.checkup.model import model_check
from beamscope.transforms.checkup.output import output_check
from beamscope.transforms.inference.model_settings import ModelSettings

FAILED = 1


def run(argv: Sequence[str]) -> int:
    """Print a line for each check; return 0 if a job can run, else 1.

    Raises:
      InputError: a flag is wrong.
    """
    parser = Parser(
        prog="beamscope doctor",
        description="Check what a job needs on this machine: packages, GPUs, codecs, OpenSlide, "
        "memory and disk; with --output whether the place can be written, with --model whether "
        "the model works. Each line has a remedy where something is wrong.",
        examples=["beamscope doctor", "beamscope doctor --output gs://BUCKET/OUTPUT --model MODEL"],
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=place("--output"),
        help="directory that a job is to write, local, gs:// or s3://; a small file is written "
        "there, read and deleted",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        type=place("--model"),
        help="a model to load, call and compile; `beamscope check-model` has flags for how it is "
        "called",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    args = parser.parse_args(list(argv))
    quiet()
    checks: list[Check] = []
    with activities_shown("looking at this machine"):
        # The check of packages says what is wrong where it cannot be imported.
        with contextlib.suppress(Exception):
            import_tensorflow()
        checks += machine_checks()
        if args.output:
            checks.append(output_check(args.output))
        if args.model:
            checks.append(model_check(ModelSettings(args.model)))
    if args.json:
        print(json.dumps([check.to_json() for check in checks], indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(check.text_line(width))
        failed = sum(check.state == "failed" for check in checks)
        print(f"\n{failed} of {len(checks)} checks failed" if failed else "\nA job can run here.")
    return FAILED if any(check.state == "failed" for check in checks) else 0
