"""`beamscope slides` whose later waves are planned only when a block of the first is embedded."""

import sys
import time
from pathlib import Path

from beamscope.pipelines.jobs import waves
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.jobs.run_job import run_job
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner

SECONDS = 90


def main(output: str, first: int, argv: list[str]) -> int:
    waves.FEWEST_DIVIDED = 8
    make = SlidePlanner.make

    def make_later(planner, layout, request):
        # s000000, s000001, …
        if int(request.slide_id[1:]) >= first:
            wait_for_a_part(output)
        return make(planner, layout, request)

    SlidePlanner.make = make_later
    return run_job(JOBS.get("slides"), [*argv, "--output", output])


def wait_for_a_part(output: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not list(Path(output).glob(".beamscope/*/parts/*/*/*.arrow")):
        if time.monotonic() > deadline:
            raise TimeoutError("no block was embedded before the last slide was planned")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
