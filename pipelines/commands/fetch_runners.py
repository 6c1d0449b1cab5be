"""`beamscope fetch-runners`: fetch the runners that some runner configs need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.runners.fetch import (
    FLINK_VERSION,
    JOB_SERVER_VERSION,
    FetchError,
    Runner,
    fetch,
    runners,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

FAILED = 1


def run(argv: Sequence[str]) -> int:
    """Fetch the runners that a command line names; return 1 if one could not be fetched.

    Raises:
      InputError: a flag or the name of a runner is wrong, or the cache cannot be written.
    """
    args = _parser().parse_args(list(argv))
    found = runners(args.flink_version, args.job_server_version)
    for name in args.runners:
        if name not in found:
            raise InputError(
                Kind.BAD_OPTION, f"unknown runner {name!r}; the runners are {', '.join(found)}"
            )
    # Imported here because it imports Beam, which takes seconds, and --help should not wait.
    from beamscope.pipelines.runners.cache import cache_directory

    cache = cache_directory()
    # Each waits for another registry, most of the time.
    names = list(dict.fromkeys(args.runners or found))
    with ThreadPoolExecutor(len(names)) as threads:
        fetched = list(threads.map(lambda name: _fetched(found[name], cache), names))
    return 0 if all(fetched) else FAILED


def _fetched(runner: Runner, cache: Path) -> bool:
    """Fetch a runner; say why where it could not be fetched, and return False."""
    try:
        fetch(runner, cache, _say)
    except FetchError as error:
        _say(str(error))
        return False
    except OSError as error:
        raise InputError(Kind.UNWRITABLE, f"{cache}: {one_line(error)}") from error
    return True


def _say(line: str) -> None:
    print(f"beamscope fetch-runners: {line}", file=sys.stderr, flush=True)


def _parser() -> Parser:
    parser = Parser(
        prog="beamscope fetch-runners",
        description="Fetch the runners for the configs prism, flink_local and flink_cluster into "
        "$BEAMSCOPE_CACHE, or beamscope/ in the user's cache directory. Runners that are already "
        "there in the right version are kept.",
    )
    parser.add_argument(
        "runners",
        nargs="*",
        metavar="RUNNER",
        help="prism (needs Go), flink-job-server (needs Maven and Java), flink (needs pip); "
        "default: all three",
    )
    parser.add_argument(
        "--flink_version",
        default=FLINK_VERSION,
        metavar="VERSION",
        help=f"version of Flink; the job server matches its series (default: {FLINK_VERSION})",
    )
    parser.add_argument(
        "--job_server_version",
        default=JOB_SERVER_VERSION,
        metavar="VERSION",
        help=f"version of Beam's job server for Flink (default: {JOB_SERVER_VERSION})",
    )
    return parser
