"""Measure each way to compute a model on this machine, in a process of its own."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.apart import Apart, EndedApartError, call_apart
from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ways import Measured, Way, measure, ways
from beamscope.transforms.problems import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A way and what became of it: a measurement, or the reason why there is none.

    Attributes:
      way: the compiler and the precision.
      measured: None where it failed, or where this machine has no such way.
      reason: empty for a measurement.
      cosine: the lowest with the plain call in float32, of a batch of images.
    """

    way: Way
    measured: Measured | None
    reason: str = ""
    cosine: float | None = None


def measure_ways(found: FoundModel, settings: ModelSettings) -> Iterator[Row]:
    """Measure each way in turn; a process that fails or crashes costs its row alone.

    Args:
      found: the model.
      settings: the same, with the digest that each process expects.

    Raises:
      InputError: the model cannot be used at all: the plain call is refused.
    """
    expected: npt.NDArray[np.float32] | None = None
    for way, missing in ways(found.backend):
        if missing is not None:
            yield Row(way, None, f"not here: {missing}")
            continue
        answer = _in_a_process(settings, way)
        if isinstance(answer, InputError):
            if way.compiler == "none":
                raise answer
            answer = answer.message
        if isinstance(answer, str):
            yield Row(way, None, f"failed: {answer}")
            continue
        if expected is None and way.compiler == "none":
            expected = answer.embeddings
        cosine = None if expected is None else compare(answer.embeddings, expected)[0]
        yield Row(way, answer, cosine=cosine)


def _in_a_process(
    settings: ModelSettings, way: Way, function: Callable[..., Measured | str] | None = None
) -> Measured | InputError | str:
    """Return what a new process measures; a refusal; or a reason why it has failed."""
    try:
        answer: Measured | str = call_apart(function or _measure, settings, way, time.monotonic())
    except InputError as error:
        return error
    except EndedApartError as error:
        # Without a status an exception of a compiler: it costs the row.
        return str(error) if error.status is None else f"the process {error}"
    return answer


def _measure(apart: Apart, settings: ModelSettings, way: Way, started: float) -> Measured | str:
    del apart
    quiet()
    # What a way has to say is in its row.
    logging.disable()
    return measure(settings, way, started)
