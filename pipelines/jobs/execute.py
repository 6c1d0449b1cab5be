"""Run a pipeline to its end and show its progress."""

from __future__ import annotations

import collections
import contextlib
import gc
import re
import time
from collections.abc import Callable, Iterator, Mapping

import apache_beam as beam
import grpc  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.runners.beam_internals import listening_here_only
from beamscope.pipelines.runners.flink import runs_on_flink_cluster
from beamscope.pipelines.terminal.progress import shown_progress
from beamscope.pipelines.terminal.summary import Finished
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.problems import (
    JobStoppedError,
    LostWorkerError,
    RepairNeededError,
    StorageError,
    as_stopped,
)

# How Beam's text tells of an error that says why the job stops.
_STOPPED = re.compile(
    r"(DefectEverywhereError|RepairNeededError|JobStoppedError|InputError): ([^\n]*)"
)
_STORAGE = re.compile(
    rf"({'|'.join(one.__name__ for one in StorageError.__subclasses__())}): ([^\n]*)"
)
# What Beam's runners say when a worker process is gone: FnApiRunner, then Prism.
_LOST_WORKER = (
    "Channel closed prematurely", "Worker subprocess exited", "worker disconnected",
)  # fmt: skip


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
    models = len(progress.layout.embeddings)
    unit = f"{job.unit} by {models} models" if models else job.unit
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    # Garbage collections then skip the million objects of TensorFlow and Beam, which stay anyway.
    gc.freeze()
    with (
        shown_progress(progress, unit=unit, items=job.items),
        _own_errors(),
        # The workers of a cluster may be on other machines, and come to this one.
        contextlib.nullcontext() if runs_on_flink_cluster(options) else listening_here_only(),
    ):
        result = pipeline.run()
        state = result.wait_until_finish()
    if state != PipelineState.DONE:
        raise RuntimeError(f"the pipeline ended as {state}")
    return Finished(time.monotonic() - start, _counters(result))


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Let our own errors through: the local runners wrap whatever a bundle raises in text."""
    try:
        yield
    except JobStoppedError as error:
        raise _stopped(type(error).__name__, str(error)) from None
    except StorageError as error:
        raise as_stopped(type(error)(_without_step(str(error)))) from None
    except grpc.RpcError as error:
        # A job server on this machine, such as Prism, or the connection to it.
        if isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.UNAVAILABLE:
            raise LostWorkerError(f"the runner is gone: {error.details()}") from error
        raise
    except RuntimeError as error:
        text = str(error)
        if "KeyboardInterrupt" in text:
            raise KeyboardInterrupt from None
        if stopped := _STOPPED.search(text):
            raise _stopped(*stopped.groups()) from None
        if failed := _STORAGE.search(text):
            kind = next(one for one in StorageError.__subclasses__() if one.__name__ == failed[1])
            raise as_stopped(kind(_without_step(failed[2]))) from None
        for words in _LOST_WORKER:
            if words in text:
                raise LostWorkerError(f"the runner says: {words}") from error
        raise


def _stopped(kind: str, message: str) -> JobStoppedError:
    stopped = RepairNeededError if kind == RepairNeededError.__name__ else JobStoppedError
    return stopped(_without_step(message))


def _without_step(message: str) -> str:
    return message.partition(" [while running")[0]


def _counters(result: PipelineResult) -> Mapping[str, int]:
    # A counter that two steps use is listed once for each step.
    total: collections.Counter[str] = collections.Counter()
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == "beamscope":
            # Some runners return no value for some counters.
            total[counter.key.metric.name] += counter.result or 0
    return total
