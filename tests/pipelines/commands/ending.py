"""What processes of measure_ways_test do; they import no TensorFlow."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from beamscope.transforms.inference.ways import Measured


def aborts(sender: Any, settings: Any, way: Any, started: float, said: str) -> None:
    Path(said).write_text("loading\nfree(): invalid pointer\n")
    os.abort()


def leaves(sender: Any, settings: Any, way: Any, started: float, said: str) -> None:
    sys.exit(3)


def refuses(sender: Any, settings: Any, way: Any, started: float, said: str) -> None:
    sender.send(("bad_model", f"model {settings.uri}: {way}"))


def answers(sender: Any, settings: Any, way: Any, started: float, said: str) -> None:
    sender.send(Measured(5.0, 10**9, 2.0, np.float32([[0, 1, 2, 3]]), 16, ()))
