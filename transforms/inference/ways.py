"""The ways in which a machine can compute a model, and a measurement of one of them."""

from __future__ import annotations

import dataclasses
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.backends.base import Backend, Embed
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings, Precision
from beamscope.transforms.inference.trial_images import structured_images

# A round embeds some images for each processor, so that none of them waits for long.
_IMAGES_PER_PROCESSOR = 4
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 50
_ENOUGH_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Way:
    """A compiler, ``none`` for the plain call, and the precision of its arithmetic."""

    compiler: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.compiler}, {self.precision}"


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What a way was found to do on this machine.

    Attributes:
      images_per_second: of the whole machine, in the median round.
      peak_bytes: the most memory that the process held, libraries included; not that of a GPU.
      ready_seconds: from the start of the process until it had embedded its first images.
      embeddings: float32 ``[n, D]`` of the first images of `structured_images`.
      input_px: side of the model's images in pixels.
      devices: the GPUs that the model's backend sees.
    """

    images_per_second: float
    peak_bytes: int
    ready_seconds: float
    embeddings: npt.NDArray[np.float32]
    input_px: int
    devices: tuple[str, ...]


def ways(backend: Backend[Any]) -> Iterator[tuple[Way, str | None]]:
    """Yield every way of a backend, the plain call first, and why this machine cannot, or None."""
    yield Way("none", "float32"), None
    for compiler in backend.compilers:
        for precision in compiler.precisions:
            yield Way(compiler.name, precision), compiler.missing(precision)


def measure(settings: ModelSettings, way: Way, started: float) -> Measured | str:
    """Load a model, compile it in one way, and measure that. Call it in a process of its own.

    Args:
      settings: the model.
      way: the compiler and the precision.
      started: when the process began, by `time.monotonic`.

    Returns:
      the measurement, or why the compiler does not serve.

    Raises:
      InputError: as `open_model` and `Embedder`.
    """
    wanted = dataclasses.replace(settings, compile=way.compiler, precision=way.precision)
    loaded = open_model(wanted)
    # The embedder knows the backend by its name.
    embedder = Embedder(loaded)
    del loaded
    if embedder.compile_used != way.compiler:
        return embedder.fallback or f"{embedder.compile_used} was used"
    batch = embedder.batch_size
    count = -(-max(batch, _IMAGES_PER_PROCESSOR * (os.cpu_count() or 1)) // batch) * batch
    pixels = structured_images(count, embedder.spec.input_size)
    embeddings = embedder.embed(pixels[:batch])
    ready = time.monotonic() - started
    return Measured(
        images_per_second=count / _median_seconds(embedder.embed, pixels),
        peak_bytes=peak_bytes(),
        ready_seconds=ready,
        embeddings=embeddings,
        input_px=embedder.spec.input_size,
        devices=tuple(_gpus(embedder.spec.backend)),
    )


def peak_bytes() -> int:
    """Return the most memory that this process has held.

    On Linux `getrusage` also counts what the parent held before this program began.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _median_seconds(embed: Embed, pixels: npt.NDArray[np.uint8]) -> float:
    embed(pixels)
    seconds: list[float] = []
    while len(seconds) < _LEAST_ROUNDS or (
        sum(seconds) < _ENOUGH_SECONDS and len(seconds) < _MOST_ROUNDS
    ):
        start = time.perf_counter()
        embed(pixels)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _gpus(backend: str) -> list[str]:
    from beamscope.transforms.inference.backends.registry import BACKENDS

    return BACKENDS.get(backend).gpus()
