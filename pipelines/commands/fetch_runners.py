"""`beamscope fetch-runners`: fetches the runners that some runner configs need."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.runners.fetch import (
    FLINK_VERSION,
    JOB_SERVER_VERSION,
    FetchError,
    fetch,
    runners,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

FAILED = 1


def run(argv: Sequence[str]) -> int:
    """Fetch what a command line names; return 1 where something could not be fetched.

    Raises:
      InputError: a flag or the name of a runner is wrong, or the cache cannot be written to.
    """
    args = _parser().parse_args(list(argv))
    found = runners(args.flink_version, args.job_server_version)
    for name in args.runners:
        if name not in found:
            raise InputError(
                Kind.BAD_OPTION, f"{name!r} is not a runner; there are {', '.join(found)}"
            )
    # Beam takes seconds to import, and --help needs no cache.
    from beamscope.pipelines.runners.config import cache_directory

    cache = cache_directory()
    failed = False
    for name in args.runners or found:
        try:
            fetch(found[name], cache, _say)
        except FetchError as error:
            _say(str(error))
            failed = True
        except OSError as error:
            raise InputError(Kind.UNWRITABLE, f"{cache}: {one_line(error)}") from error
    return FAILED if failed else 0


def _say(line: str) -> None:
    print(f"beamscope fetch-runners: {line}", file=sys.stderr, flush=True)


def _parser() -> Parser:
    parser = Parser(
        prog="beamscope fetch-runners",
        description="Fetch what runner configs other than the direct ones and Dataflow's need, "
        "into $BEAMSCOPE_CACHE, or beamscope/ in the user's cache directory. A runner that is "
        "there at the right version is left alone.",
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
        help=f"of Flink; the job server is for its series (default: {FLINK_VERSION})",
    )
    parser.add_argument(
        "--job_server_version",
        default=JOB_SERVER_VERSION,
        metavar="VERSION",
        help=f"of Beam's job server for Flink (default: {JOB_SERVER_VERSION})",
    )
    return parser
