"""Run a pipeline to its end and show its progress."""

from __future__ import annotations

import collections
import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Mapping

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.terminal.progress import shown_progress
from beamscope.pipelines.terminal.summary import Finished
from beamscope.transforms.output.progress import ProgressReader


def execute(
    job: Job,
    build: Callable[[beam.Pipeline], None],
    options: PipelineOptions,
    progress: ProgressReader,
) -> Finished:
    """Build a pipeline, run it to its end, and show its progress.

    Raises:
      RuntimeError: the pipeline did not end as DONE.
    """
    start = time.monotonic()
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    # Garbage collections then skip the million objects of TensorFlow and Beam, which stay anyway.
    gc.freeze()
    with shown_progress(progress, unit=job.unit, items=job.items), _ctrl_c():
        result = pipeline.run()
        state = result.wait_until_finish()
    if state != PipelineState.DONE:
        raise RuntimeError(f"the pipeline ended as {state}")
    return Finished(time.monotonic() - start, _counters(result))


@contextlib.contextmanager
def _ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C: the local runner wraps it in a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        raise


def _counters(result: PipelineResult) -> Mapping[str, int]:
    # A counter that two steps use is listed once for each step.
    total: collections.Counter[str] = collections.Counter()
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == "beamscope":
            # Some runners return no value for some counters.
            total[counter.key.metric.name] += counter.result or 0
    return total
