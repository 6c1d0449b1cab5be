"""What is said and done about files that are not what was written."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator

from beamscope.transforms.metrics import count
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problems import RepairNeededError
from beamscope.transforms.storage import files

_log = logging.getLogger(__name__)
# Of the damaged files that one process meets, as warnings.
_LINES_SHOWN = 10
_lines = itertools.count(1)


def damaged_part(error: DamagedError) -> None:
    """Say that a part is damaged, and count it."""
    count("parts_damaged")
    say(error, "the block is done again")


def damaged_plan(error: DamagedError) -> None:
    """Say that a plan is damaged, and count it."""
    count("plans_damaged")
    say(error, "the plan is made again")


def say(error: DamagedError, remedy: str) -> None:
    """Say that a file is damaged, and what is done about it."""
    number = next(_lines)
    more = "; further ones are not shown here" if number == _LINES_SHOWN else ""
    level = logging.WARNING if number <= _LINES_SHOWN else logging.INFO
    _log.log(level, "damaged: %s; %s%s", error, remedy, more)


@contextlib.contextmanager
def repaired_by_another_pass() -> Iterator[None]:
    """Delete a file that the body finds damaged, and ask for another pass, which makes it again.

    Raises:
      RepairNeededError: the body has met a damaged file, or one that is gone.
    """
    try:
        yield
    except DamagedError as error:
        files.delete([error.path])
        raise RepairNeededError(f"damaged: {error}") from error
    except FileNotFoundError as error:
        raise RepairNeededError(f"a file of the output is gone: {error}") from error
