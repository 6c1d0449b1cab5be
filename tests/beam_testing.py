"""Helpers for tests of PTransforms."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

# In full, because "DirectRunner" is another runner from one machine to the next.
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def pipeline() -> beam.Pipeline:
    """A pipeline on the pinned local runner."""
    return beam.Pipeline(options=PipelineOptions(["--runner", RUNNER]))


def counters(result) -> dict[str, int]:
    """The counters of beamscope's own that a pipeline gave."""
    return {
        counter.key.metric.name: counter.result
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.namespace == "beamscope"
    }
