"""Two helpers by which every transform counts what it did and how long it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from apache_beam.metrics import Metrics

_NAMESPACE = "beamscope"


def count(name: str, amount: int = 1) -> None:
    """Adds to a counter of the running job; outside a job it does nothing."""
    Metrics.counter(_NAMESPACE, name).inc(amount)


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Adds the milliseconds that the body took to the counter ``<name>_msec``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        count(f"{name}_msec", round(1000 * (time.perf_counter() - start)))
