"""How much of the campaign is run, and from which seed."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.campaign.children import Outcome, Task, run_tasks

# `make test-faults` sets it: the whole campaign instead of a sample.
WHOLE = os.environ.get("BEAMSCOPE_CAMPAIGN") == "whole"
SEED = int(os.environ.get("BEAMSCOPE_SEED", "1"))
# Of a process that reads: docs/reliability.md.
BOUND_MB = 4096
TIMEOUT = 120.0


def share(whole: int, sample: int) -> int:
    """Return how often something is tried."""
    return whole if WHOLE else sample


def run(tasks: Iterable[Task], folder: Path, timeout: float = TIMEOUT) -> Iterator[Outcome]:
    """Do tasks in child processes.

    Raises:
      AssertionError: one has crashed, hung, raised, or taken more memory than the bound. The file
        that did it is kept.
    """
    findings = []
    for outcome in run_tasks(tasks, timeout=timeout, log=folder / "children.log"):
        if outcome.failure:
            findings.append(f"{outcome.task.name}: {outcome.failure}")
        elif outcome.peak_mb > BOUND_MB:
            findings.append(f"{outcome.task.name}: {outcome.peak_mb:.0f} MB")
        elif outcome.answer.get("unproven") or outcome.answer["kind"] == "unproven":
            findings.append(f"{outcome.task.name}: {outcome.answer}")
        else:
            if "done" not in outcome.task.name:
                Path(outcome.task.arguments["path"]).unlink(missing_ok=True)
            yield outcome
    assert not findings, f"seed {SEED}, files in {folder}:\n" + "\n".join(findings)


def report(title: str, outcomes: list[Outcome]) -> None:
    """Print what came out, for `pytest -s` and docs/reliability.md."""
    kinds = collections.Counter(outcome.answer["kind"] for outcome in outcomes)
    sums: collections.Counter[str] = collections.Counter()
    for outcome in outcomes:
        for name in ("same", "failed", "proven", "read", "problems"):
            sums[name] += outcome.answer.get(name, 0)
        sums.update(f"{kind}" for kind in outcome.answer.get("kinds", ()))
    peak = max((outcome.peak_mb for outcome in outcomes), default=0)
    slowest = max((outcome.seconds for outcome in outcomes), default=0)
    print(  # noqa: T201
        f"\n{title}: {len(outcomes)} tried, seed {SEED}; at most {peak:.0f} MB and {slowest:.1f} s"
        f"\n  {dict(kinds.most_common())}\n  {dict(sums.most_common())}"
    )
