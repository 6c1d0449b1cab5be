"""The command `beamscope`: run a job or another command, or list both."""

from __future__ import annotations

import atexit
import difflib
import os
import select
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from beamscope._version import __version__
from beamscope.pipelines import supervisor
from beamscope.pipelines.commands.registry import COMMANDS
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.runners.lean_beam import import_lean_beam
from beamscope.pipelines.terminal.live import activities_shown
from beamscope.transforms.problems import (
    InputError,
    JobStoppedError,
    LostWorkerError,
    StorageError,
    as_stopped,
    one_line,
)

FAILED, USAGE_ERROR = 1, 2
# As shells say of a program that ends by SIGPIPE.
UNREAD = 141


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else USAGE_ERROR
    name, *rest = arguments
    if name == "help":
        return main([*rest, "--help"] if rest else ["--help"])
    if name == "--version":
        print(f"beamscope {__version__}")
        return 0
    try:
        return _run(name, rest)
    except InputError as error:
        print(f"beamscope {name}: {error.message}", file=sys.stderr)
        return USAGE_ERROR
    except StorageError as error:
        print(f"beamscope {name}: {as_stopped(error) if name in JOBS else one_line(error)}",
              file=sys.stderr)  # fmt: skip
        return FAILED
    except JobStoppedError as error:
        print(f"beamscope {name}: {error}", file=sys.stderr)
        return FAILED
    except LostWorkerError as error:
        print(f"beamscope {name}: {error}", file=sys.stderr)
        return supervisor.LOST_WORKER if supervisor.is_supervised() else FAILED
    except KeyboardInterrupt:
        print(f"\nbeamscope {name}: interrupted; the same command continues from here",
              file=sys.stderr)  # fmt: skip
        return supervisor.INTERRUPTED


def command() -> NoReturn:
    """Run the command of this process, and end the process with its exit status.

    A job on this machine runs in a child process, which is started again when it dies.
    """
    name, *rest = sys.argv[1:] or [""]
    if (name in JOBS and supervisor.runs_here(rest)) or (name == "plan" and _plans(rest)):
        _end(supervisor.supervise(name, _work))
    if name in JOBS:
        supervisor.stop_at_once(name)
    else:
        supervisor.stop_on_signals()
    _end(_status())


def _plans(arguments: Sequence[str]) -> bool:
    """Return whether `beamscope plan` works on items: it does so on this machine."""
    return supervisor.runs_here(()) and not {"-h", "--help", "--help_all"} & set(arguments)


def _work() -> NoReturn:
    # In a function of its own: a child must not go back to where its parent has forked it.
    try:
        with activities_shown("starting"):
            import_lean_beam()
        status = _status()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = FAILED
    _end(status)


def _status() -> int:
    """Run the command; where nobody reads what it prints any more, as behind ``| head``, end it."""
    try:
        try:
            return main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        unread = select.poll()
        unread.register(sys.stdout, 0)
        if not unread.poll(0):
            raise  # It was another pipe.
        # What is left in its buffer has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _end(status: int) -> NoReturn:
    """End the process.

    Beam leaves daemon threads behind. A thread that wakes up in a C++ library while the interpreter
    shuts down aborts the process. So the process ends without that shutdown.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(name: str, arguments: Sequence[str]) -> int:
    if name in COMMANDS:
        return COMMANDS.get(name)(arguments)
    if name in JOBS:
        with activities_shown("starting"):
            # Imported here because it imports Beam, and other commands should not wait for that.
            from beamscope.pipelines.jobs.run_job import run_job

            return run_job(JOBS.get(name), arguments)
    names = (*JOBS.names(), *COMMANDS.names(), "help")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(names)}"
    print(f"beamscope: unknown command {name!r}; {hint}", file=sys.stderr)
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
        "usage: beamscope COMMAND [options]     (beamscope help COMMAND lists the options)",
        "",
        *lines,
        f"  {'help':<14} show the options of a command: beamscope help slides",
    ])  # fmt: skip


if __name__ == "__main__":
    command()
