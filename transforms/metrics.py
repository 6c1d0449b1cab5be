"""Two helpers that every transform uses to count its work and its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from apache_beam.metrics import Metrics

_NAMESPACE = "beamscope"


def count(name: str, amount: int = 1) -> None:
    """Add to a counter of the running job; do nothing outside a job."""
    Metrics.counter(_NAMESPACE, name).inc(amount)


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Add the milliseconds of the body to the counter ``<name>_msec``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        count(f"{name}_msec", round(1000 * (time.perf_counter() - start)))
