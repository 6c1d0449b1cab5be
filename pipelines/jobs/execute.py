"""Running a pipeline to its end while a person watches."""

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
    """Build a pipeline and run it to its end, showing progress.

    Raises:
      RuntimeError: it ended in another state than done.
    """
    start = time.monotonic()
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    # A full collection walks a million objects of TensorFlow and Beam, which stay: leave them out.
    gc.freeze()
    with shown_progress(progress, unit=job.unit, items=job.items), _ctrl_c():
        result = pipeline.run()
        state = result.wait_until_finish()
    if state != PipelineState.DONE:
        raise RuntimeError(f"the pipeline ended as {state}")
    return Finished(time.monotonic() - start, _counters(result))


@contextlib.contextmanager
def _ctrl_c() -> Iterator[None]:
    """Let Ctrl-C through: the local runner wraps whatever a bundle raises."""
    try:
        yield
    except RuntimeError as error:
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        raise


def _counters(result: PipelineResult) -> Mapping[str, int]:
    # A counter that two steps use comes once from each.
    total: collections.Counter[str] = collections.Counter()
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == "beamscope":
            # Not every runner has a value of every counter.
            total[counter.key.metric.name] += counter.result or 0
    return total
