"""Records of what was begun, which outlive the process that began it.

Before a plan is made or a block is read, a small file says so; when it has ended, in whatever way
the interpreter can see, the file is deleted. So a file that is left is of a process that ended in
the middle.
"""

from __future__ import annotations

import dataclasses
import itertools
import json

from beamscope.transforms.faults.steps import Step
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.storage import files

# A block that was at work in two processes of one run when they ended, in the second alone, is
# taken for the cause.
# When all of a run ended, whoever restarted it may also have killed it, and more than once: only
# after so many ends that met the same block alone is it the cause.
ALONE_IN_ANY_RUN = 4


@dataclasses.dataclass(frozen=True)
class Try:
    """A step that was begun and has not ended.

    Attributes:
      run: the run whose process began it.
      alone: whether nothing else was at work on that machine.
    """

    run: str
    alone: bool


def record_first(layout: Layout, step: Step, run: str) -> bool:
    """Record that a step is begun for the first time; False, and no record, where it is not."""
    return _create(layout, step, 1, Try(run, alone=False))


def record_alone(layout: Layout, step: Step, run: str) -> None:
    """Record that a step is begun alone, after it was begun before."""
    for count in itertools.count(1):
        if _create(layout, step, count, Try(run, alone=True)):
            return


def earlier_tries(layout: Layout, step: Step) -> list[Try]:
    """Return the records of a step, in the order in which they were made."""
    found: list[Try] = []
    for count in itertools.count(1):
        try:
            content = files.read_bytes(layout.a_try(step.item_id, step.index, count, step.slot))
        except FileNotFoundError:
            return found
        try:
            found.append(Try(**json.loads(content)))
        except (ValueError, TypeError):
            # Cut short when the machine went down: of some other run, and among others.
            found.append(Try("", alone=False))
    raise AssertionError("count() has no end")


def is_lost(tries: list[Try], run: str) -> bool:
    """Return whether a step has ended its process so often that it is not begun again."""
    alone = [one for one in tries if one.alone]
    return any(one.run == run for one in alone) or len(alone) >= ALONE_IN_ANY_RUN


def delete_tries(layout: Layout, step: Step, count: int) -> None:
    """Delete the first `count` records of a step."""
    files.delete(
        [
            layout.a_try(step.item_id, step.index, number, step.slot)
            for number in range(1, count + 1)
        ]
    )


def _create(layout: Layout, step: Step, count: int, one: Try) -> bool:
    path = layout.a_try(step.item_id, step.index, count, step.slot)
    return files.create_if_absent(path, json.dumps(dataclasses.asdict(one)).encode())
