"""The command `beamscope`: run a job or another command, or list both."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from beamscope._version import __version__
from beamscope.pipelines.commands.registry import COMMANDS
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.transforms.problems import InputError

USAGE_ERROR = 2
# The status that shells report for a program that Ctrl-C ended.
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else USAGE_ERROR
    name, *rest = arguments
    if name == "--version":
        print(f"beamscope {__version__}")
        return 0
    try:
        return _run(name, rest)
    except InputError as error:
        print(f"beamscope {name}: {error.message}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"\nbeamscope {name}: interrupted; the same command continues from here",
              file=sys.stderr)  # fmt: skip
        return INTERRUPTED


def command(argv: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit status.

    Beam leaves daemon threads behind. A thread that wakes up in a C++ library while the interpreter
    shuts down aborts the process. So the process ends without that shutdown.
    """
    status = main(argv)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(name: str, arguments: Sequence[str]) -> int:
    if name in COMMANDS:
        return COMMANDS.get(name)(arguments)
    if name in JOBS:
        # Imported here because it imports Beam, and other commands should not wait for that.
        from beamscope.pipelines.jobs.run_job import run_job

        return run_job(JOBS.get(name), arguments)
    known = ", ".join((*JOBS.names(), *COMMANDS.names()))
    print(f"beamscope: unknown command {name!r}; the commands are {known}", file=sys.stderr)
    return USAGE_ERROR


def _usage() -> str:
    lines = [
        f"  {name:<14} {registry.summary(name)}"
        for registry in (JOBS, COMMANDS)
        for name in registry.names()
    ]
    return "\n".join([
        "beamscope turns whole-slide images and chest X-rays into embeddings, with Apache Beam.",
        "",
        "usage: beamscope COMMAND [options]     (beamscope COMMAND --help lists the options)",
        "",
        *lines,
    ])  # fmt: skip


if __name__ == "__main__":
    command()
