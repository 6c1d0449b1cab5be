"""Measure each way to compute a model on this machine, in a process of its own."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ways import Measured, Way, measure, ways
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage.scratch import scratch_prefix


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
    settings: ModelSettings, way: Way, target: Callable[..., None] | None = None
) -> Measured | InputError | str:
    """Return what a new process measures; a refusal; or a reason why it has failed."""
    context = multiprocessing.get_context("spawn")  # A fork would begin with our memory.
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        said = Path(folder) / "said"
        process = context.Process(
            target=target or _child, args=(sender, settings, way, time.monotonic(), str(said))
        )
        process.start()
        sender.close()
        try:
            answer: Any = receiver.recv()
        except EOFError:
            process.join()
            return _how_it_ended(process.exitcode, said)
        finally:
            receiver.close()
            if process.is_alive():
                process.join(10)
            process.kill()
            process.join()
    if isinstance(answer, tuple):
        word, message = answer
        return InputError(next(kind for kind in Kind if kind == word), message)
    return answer


def _child(
    sender: Connection, settings: ModelSettings, way: Way, started: float, said: str
) -> None:
    # What the libraries write is kept for the reason of a crash.
    with open(said, "wb", buffering=0) as file:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    quiet()
    try:
        sender.send(measure(settings, way, started))
    except InputError as error:
        sender.send((str(error.kind), error.message))
    except Exception as error:  # noqa: BLE001 (of a compiler: it costs the row)
        sender.send(one_line(error))


def _how_it_ended(code: int | None, said: Path) -> str:
    lines = said.read_text(errors="replace").split("\n") if said.exists() else []
    words = [line.strip() for line in lines if line.strip()]
    last = f": {words[-1][:200]}" if words else ""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"the process was ended by {name}{memory}{last}"
    return f"the process ended with code {code}{last}"
