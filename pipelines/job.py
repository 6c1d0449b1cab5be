"""What every embedding job shares around its own reading: claim the output, run, sum up."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from pipelines.progress import shown_progress
from transforms.inference.model_settings import ModelSettings, ModelSpec
from transforms.output.dataset import read_description
from transforms.output.layout import Layout
from transforms.output.progress import ProgressReader

OK, TOO_MANY_FAILED = 0, 3


def resolve_model(settings: ModelSettings) -> ModelSpec:
    """How a model is called, found out by loading it and calling it once.

    Raises:
      InputError: ``bad_model``.
    """
    # TensorFlow takes seconds to import: not for --help, nor for a flag that is wrong.
    from pipelines.quiet import import_tensorflow

    import_tensorflow()
    from transforms.inference.saved_model import load

    return load(settings).spec


def model_fingerprint(settings: ModelSettings, spec: ModelSpec) -> dict[str, Any]:
    """What of a model changes a number."""
    return {
        "model_digest": spec.digest,
        "model_called": spec.called,
        "model_output_key": spec.output_key,
        "model_input_size": spec.input_size,
        "model_input_dtype": spec.input_dtype,
        "model_input_range": spec.input_range,
        "compile": settings.compile,
    }


def versions() -> dict[str, str]:
    """The versions that a dataset was made with."""
    names = ("beamscope", "apache-beam", "tensorflow", "pyarrow", "openslide-python",
             "openslide-bin", "opencv-python-headless", "numpy")  # fmt: skip
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def digest_of(content: Any) -> str:
    """A short digest of plain values, to tell whether the same was asked for before."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def completed_before(layout: Layout, request_digest: str) -> dict[str, Any] | None:
    """The description of a complete dataset that has all that is asked for, with nothing failed.

    A dataset with failures, or of other items or another format, is assembled again.
    """
    description = read_description(layout.root)
    if description is None:
        return None
    if (
        description.get("request") == request_digest
        and description["fingerprint"] == layout.fingerprint
    ):
        return description
    return None


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a run of a pipeline gave: how long it took and what it counted."""

    seconds: float
    counters: Mapping[str, int]


def run_pipeline(
    build: Callable[[beam.Pipeline], None],
    options: PipelineOptions,
    progress: ProgressReader,
    *,
    unit: str,
    items: str,
) -> Finished:
    """Builds a pipeline and runs it to its end, showing progress.

    Raises:
      RuntimeError: it ended in another state than done.
    """
    start = time.monotonic()
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    with shown_progress(progress, unit=unit, items=items):
        result = pipeline.run()
        state = result.wait_until_finish()
    if state != PipelineState.DONE:
        raise RuntimeError(f"the pipeline ended as {state}")
    return Finished(time.monotonic() - start, _counters(result))


def _counters(result: PipelineResult) -> dict[str, int]:
    return {
        counter.key.metric.name: counter.result
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.namespace == "beamscope"
    }
