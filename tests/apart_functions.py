"""Functions that tests call in a process of its own; it imports them by their names."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from beamscope.transforms.activity import doing
from beamscope.transforms.apart import Apart
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def adds(apart: Apart, a: int, b: int) -> int:
    apart.tell(f"{a} + {b}")
    with doing("adding"), doing("carrying"):
        logging.getLogger("beamscope.tests").warning("%d is %s", a, "odd")
    logging.getLogger("beamscope.tests").debug("no more")
    sys.stdout.write("what a library writes\n")
    return a + b


def looks(apart: Apart) -> dict[str, Any]:
    del apart
    return {"process": os.getpid(), "variable": os.environ.get("BEAMSCOPE_TESTS"), "path": sys.path}


def refuses(apart: Apart) -> NoReturn:
    del apart
    raise InputError(Kind.BAD_MODEL, "model m: no good")


def fails(apart: Apart) -> NoReturn:
    del apart
    raise KeyError("two\nlines")


def aborts(apart: Apart) -> None:
    apart.tell("begun")
    os.write(2, b"free(): invalid pointer\n\n")
    os.kill(os.getpid(), signal.SIGABRT)


def leaves(apart: Apart) -> NoReturn:
    del apart
    os._exit(3)


def waits(apart: Apart, file: str) -> None:
    del apart
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)
