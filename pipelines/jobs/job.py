"""What every embedding job does around its own reading: claim the output, run, sum up."""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import gc
import hashlib
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.model import add_model_arguments
from beamscope.pipelines.options.output import add_output_arguments, shard_format_from
from beamscope.pipelines.runners.config import add_runner_arguments
from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.dataflow_submit import submit
from beamscope.pipelines.runners.gpu import requires_gpu, runs_here
from beamscope.pipelines.terminal.progress import shown_progress
from beamscope.pipelines.terminal.summary import Finished, print_summary
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.ptransforms.require_gpu import RequireGpu
from beamscope.transforms.output.dataset import DatasetSpec, read_description
from beamscope.transforms.output.fingerprint import Fingerprint, claim_output
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA

OK, TOO_MANY_FAILED = 0, 3


@dataclasses.dataclass(frozen=True)
class Job:
    """What tells one embedding job from another.

    Attributes:
      name: of the command: ``slides`` or ``xrays``.
      sources: what is planned: ``slides`` or ``sources``.
      unit: what is embedded, in the plural: ``patches`` or ``films``.
      count_rows: how many of those the plan in a file has, where that is known.
      rows: the columns of the embeddings, but for the embedding.
      table_name: of the table of what was asked for: ``slides`` or ``images``.
      table: its schema.
      problems: schema of the table of problems.
    """

    name: str
    sources: str
    unit: str
    count_rows: Callable[[str], int | None]
    rows: pa.Schema
    table_name: str
    table: pa.Schema
    problems: pa.Schema = PROBLEMS_SCHEMA


@dataclasses.dataclass(frozen=True)
class Asked:
    """A slide or a source of films, as it is now.

    Attributes:
      request: a dataclass.
      identity: what tells that its files are still the same. A complete dataset has nothing left to
        do only for just these.
    """

    request: Any
    identity: Any


def run_job(
    job: Job,
    args: argparse.Namespace,
    beam_options: PipelineOptions,
    *,
    requests: Sequence[Asked],
    settings: dict[str, Any],
    model: ModelSettings,
    spec: ModelSpec,
    build: Callable[[beam.Pipeline, DatasetSpec], None],
) -> int:
    """Runs a job whose command line is understood, and returns its exit status.

    On Dataflow it submits the job, and returns without waiting for it.

    Args:
      job: which.
      args: the flags of `add_output_arguments`.
      beam_options: Beam's own.
      requests: what is to be embedded.
      settings: of the job, everything that changes a number.
      model: how the model is to be called.
      spec: how it is.
      build: puts the job's transforms into a pipeline.

    Raises:
      InputError: an output flag is wrong, or the output is another run's.
    """
    shard_format = shard_format_from(args)
    fingerprint = Fingerprint({"job": job.name, **settings, **_model_settings(model, spec)})
    claim_output(
        args.output, fingerprint, job=job.name, items=len(requests), overwrite=args.overwrite
    )
    layout = Layout(args.output, fingerprint.digest)
    wanted = [*map(dataclasses.asdict, requests), dataclasses.asdict(shard_format)]
    request = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
    finished = None
    if not _complete_before(layout, job, request):
        dataset = DatasetSpec(
            layout=layout,
            shard_format=shard_format,
            rows=job.rows,
            features=spec.features,
            table_name=job.table_name,
            table=job.table,
            metadata={
                "beamscope.version": importlib.metadata.version("beamscope"),
                "beamscope.fingerprint": fingerprint.digest,
                "beamscope.model_digest": spec.digest,
            },
            description={
                "job": job.name,
                "options": fingerprint.settings,
                "model": spec.to_json(),
                "versions": _versions(),
                "request": request,
            },
            problems=job.problems,
        )

        def build_all(pipeline: beam.Pipeline) -> None:
            if requires_gpu(beam_options):
                _ = pipeline | "RequireGpu" >> RequireGpu()
            build(pipeline, dataset)

        if runs_on_dataflow(beam_options):
            submit(job.name, layout, build_all, beam_options)
            return OK
        progress = ProgressReader(layout, len(requests), job.count_rows)
        finished = _run(job, build_all, beam_options, progress)
    failed = print_summary(layout, job.table_name, job.unit, job.sources, finished)
    if failed > args.max_failed:
        print(
            f"beamscope {job.name}: {failed:.0%} of the {job.table_name} failed, more than "
            f"--max_failed {args.max_failed:g}",
            file=sys.stderr,
        )
        return TOO_MANY_FAILED
    return OK


def job_parser(name: str, description: str, add_own_arguments: Callable[[Parser], None]) -> Parser:
    """The parser of a job: its own flags, then those of every job."""
    parser = Parser(
        prog=f"beamscope {name}",
        description=f"{description} Stopped at any moment, the same command goes on where it was.",
        epilog="Any option of Apache Beam can be given too, such as --runner or --temp_location. "
        "With --require_gpu a job stops at once where TensorFlow sees no GPU.",
    )
    add_own_arguments(parser)
    add_model_arguments(parser.add_argument_group("model"))
    add_output_arguments(parser)
    add_runner_arguments(parser)
    return parser


def resolve_model(settings: ModelSettings, beam_options: PipelineOptions) -> ModelSpec:
    """How a model is called, found out by loading it and calling it once.

    Below float32, where the workers are on this machine, it is compiled as well, and the cosine
    with the plain float32 call is printed: a job is not to run for days before someone looks.

    Raises:
      InputError: ``bad_model``, or ``bad_option`` for a precision that this machine does not have.
    """
    # TensorFlow takes seconds to import: not for --help, nor for a flag that is wrong.
    from beamscope.pipelines.terminal.quiet import import_tensorflow

    import_tensorflow()
    from beamscope.transforms.inference.backends.saved_model.loading import load

    if settings.computed_in == "float32" or not runs_here(beam_options):
        return load(settings).spec
    from beamscope.transforms.inference.embedder import Embedder

    # As a worker does: a GPU's float32 is not to be rounded here either.
    embedder = Embedder.from_settings(settings)
    print(
        f"model {embedder.spec.name}: {embedder.precision} by {embedder.compile_used}, "
        f"cosine {embedder.check_cosine:.6f} with float32 (lowest of a batch)"
    )
    return dataclasses.replace(embedder.spec, cosine=embedder.check_cosine)


def _model_settings(settings: ModelSettings, spec: ModelSpec) -> dict[str, Any]:
    """What of a model changes a number."""
    return {
        "model_digest": spec.digest,
        "model_called": spec.called,
        "model_output_key": spec.output_key,
        "model_input_size": spec.input_size,
        "model_input_dtype": spec.input_dtype,
        "model_input_range": spec.input_range,
        "compile": settings.compiled_by,
        "precision": settings.computed_in,
    }


def _versions() -> dict[str, str]:
    names = ("beamscope", "apache-beam", "tensorflow", "pyarrow", "openslide-python",
             "openslide-bin", "opencv-python-headless", "pydicom", "numpy")  # fmt: skip
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def _complete_before(layout: Layout, job: Job, request: str) -> bool:
    """Whether the dataset has all that is asked for, in the form asked for, and nothing failed.

    Otherwise it is assembled again, with what failed tried again.
    """
    description = read_description(layout.root)
    return (
        description is not None
        and description["fingerprint"] == layout.fingerprint
        and description["request"] == request
        and not description["counts"][job.table_name].get("failed")
    )


def _run(
    job: Job,
    build: Callable[[beam.Pipeline], None],
    options: PipelineOptions,
    progress: ProgressReader,
) -> Finished:
    """Builds a pipeline and runs it to its end, showing progress.

    Raises:
      RuntimeError: it ended in another state than done.
    """
    start = time.monotonic()
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    # A full collection walks a million objects of TensorFlow and Beam, which stay: leave them out.
    gc.freeze()
    with shown_progress(progress, unit=job.unit, items=job.sources), _ctrl_c():
        result = pipeline.run()
        state = result.wait_until_finish()
    if state != PipelineState.DONE:
        raise RuntimeError(f"the pipeline ended as {state}")
    return Finished(time.monotonic() - start, _counters(result))


@contextlib.contextmanager
def _ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C through: the local runner wraps whatever a bundle raises."""
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
