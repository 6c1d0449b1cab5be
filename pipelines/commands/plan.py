"""`beamscope plan JOB`: plan a job without a model, and say what it will take."""

from __future__ import annotations

from collections.abc import Sequence

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_USAGE = """\
usage: beamscope plan JOB --output OUTPUT [the job's flags]

Plan a job without its model: how many patches or films, what fails and why, how long it takes and
what it costs. The job then uses these plans. JOB is one of: {names}.
beamscope plan JOB --help lists the flags."""


def run(argv: Sequence[str]) -> int:
    """Plan a job with the flags of its command line, and return the exit status.

    Raises:
      InputError: no such job, or a flag or an input is wrong.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE.format(names=", ".join(JOBS.names())))
        return 0 if argv else 2
    name, *rest = argv
    if name not in JOBS:
        raise InputError(
            Kind.BAD_OPTION, f"{name}: is no job; the jobs are {', '.join(JOBS.names())}"
        )
    # Imported here because it imports Beam.
    from beamscope.pipelines.jobs.plan import plan_job

    return plan_job(JOBS.get(name), rest)
