"""What processes of measure_ways_test do; they import no TensorFlow."""

from __future__ import annotations

import os
from typing import Any, NoReturn

import numpy as np

from beamscope.transforms.inference.ways import Measured
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def aborts(apart: Any, settings: Any, way: Any, started: float) -> NoReturn:
    os.write(1, b"loading\n")
    os.write(2, b"free(): invalid pointer\n")
    os.abort()


def leaves(apart: Any, settings: Any, way: Any, started: float) -> NoReturn:
    os._exit(3)


def fails(apart: Any, settings: Any, way: Any, started: float) -> NoReturn:
    raise RuntimeError("no such\nlayer")


def refuses(apart: Any, settings: Any, way: Any, started: float) -> NoReturn:
    raise InputError(Kind.BAD_MODEL, f"model {settings.uri}: {way}")


def answers(apart: Any, settings: Any, way: Any, started: float) -> Measured:
    return Measured(5.0, 10**9, 2.0, np.float32([[0, 1, 2, 3]]), 16, ())
