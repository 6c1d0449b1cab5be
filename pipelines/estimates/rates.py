"""Rates that `beamscope check-model` has measured on this machine, kept in the user's cache."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
from pathlib import Path

from beamscope.pipelines.runners.cache import cache_directory

_NAME = "rates.json"


@dataclasses.dataclass(frozen=True)
class MeasuredRate:
    """How fast a model is on a machine.

    Attributes:
      images_per_second: by the whole machine.
      way: compiler and precision, such as ``openvino, float32``.
      input_px: side of its images in pixels.
      features: length of an embedding.
      machine: processor or GPU, in words.
      cores: of the machine.
      date: when it was measured, such as ``2026-01-31``.
    """

    images_per_second: float
    way: str
    input_px: int
    features: int
    machine: str
    cores: int
    date: str


def rates_path() -> Path:
    """Return the path of the file: a JSON object of lists of rates by the model's digest."""
    return cache_directory() / _NAME


def keep_rate(
    digest: str, images_per_second: float, *, way: str, input_px: int, features: int
) -> None:
    """Keep a rate of a model; one that was measured in the same way on this machine is replaced.

    A cache that cannot be written to is no error: the rate is then not kept.
    """
    rate = MeasuredRate(
        images_per_second, way, input_px, features, platform.processor() or platform.machine(),
        os.cpu_count() or 1, datetime.datetime.now(datetime.UTC).date().isoformat(),
    )  # fmt: skip
    known = _read()
    others = [
        other
        for other in known.get(digest, [])
        if (other.way, other.machine, other.cores) != (way, rate.machine, rate.cores)
    ]
    known[digest] = [*others, rate]
    content = {name: [dataclasses.asdict(one) for one in some] for name, some in known.items()}
    try:
        rates_path().parent.mkdir(parents=True, exist_ok=True)
        temporary = rates_path().with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(rates_path())
    except OSError:
        return


def measured_rate(digest: str) -> MeasuredRate | None:
    """Return the fastest rate at which this machine has run a model; None if none is known.

    It is one in float32, as jobs compute by default, where one is known.
    """
    cores = os.cpu_count() or 1
    rates = [rate for rate in _read().get(digest, []) if rate.cores == cores]
    exact = [rate for rate in rates if rate.way.endswith(", float32")]
    return max(exact or rates, key=lambda rate: rate.images_per_second, default=None)


def _read() -> dict[str, list[MeasuredRate]]:
    try:
        content = json.loads(rates_path().read_text())
        return {
            digest: [MeasuredRate(**rate) for rate in rates] for digest, rates in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
