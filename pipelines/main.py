"""The command `beamscope`: a job, a helper of it, or a list of both."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from typing import NoReturn

from beamscope.transforms.problems import InputError

# Only names and one line each, so that the list appears at once: a command's module, which may
# import Beam, is loaded when it is called.
_COMMANDS = {
    "slides": ("beamscope.pipelines.jobs.slides", "embed the patches of whole-slide images"),
    "xrays": ("beamscope.pipelines.jobs.xrays", "embed chest X-rays out of their archives"),
    "status": (
        "beamscope.pipelines.commands.status",
        "tell how far the job of an output directory is",
    ),
    "check-model": (
        "beamscope.pipelines.commands.check_model",
        "say how a SavedModel is called, and whether it works",
    ),
    "make-model": (
        "beamscope.pipelines.commands.make_model",
        "build a BiT ResNet as a SavedModel called like REMEDIS",
    ),
    "make-slide": (
        "beamscope.pipelines.commands.make_slide",
        "write a sample slide, to try things out",
    ),
}

USAGE_ERROR = 2
# As a shell reports a program that Ctrl-C has ended.
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else USAGE_ERROR
    name, *rest = arguments
    if name == "--version":
        from importlib.metadata import version

        print(f"beamscope {version('beamscope')}")
        return 0
    if name not in _COMMANDS:
        print(f"beamscope: {name!r} is not a command; there are {', '.join(_COMMANDS)}",
              file=sys.stderr)  # fmt: skip
        return USAGE_ERROR
    try:
        status: int = importlib.import_module(_COMMANDS[name][0]).run(rest)
    except InputError as error:
        print(f"beamscope {name}: {error.message}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"\nbeamscope {name}: interrupted; the same command goes on from here",
              file=sys.stderr)  # fmt: skip
        return INTERRUPTED
    return status


def command(argv: list[str] | None = None) -> NoReturn:
    """Runs one command and ends the process with its exit status.

    Beam leaves daemon threads behind. One that wakes up in a C++ library while the interpreter is
    taken down aborts the process, when all is done and said; so the process ends without that.
    """
    status = main(argv)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _usage() -> str:
    lines = [f"  {name:<12} {what}" for name, (_, what) in _COMMANDS.items()]
    return "\n".join([
        "beamscope turns whole-slide images and chest X-rays into embeddings, with Apache Beam.",
        "",
        "usage: beamscope COMMAND [options]     (beamscope COMMAND --help says which)",
        "",
        *lines,
    ])  # fmt: skip


if __name__ == "__main__":
    command()
