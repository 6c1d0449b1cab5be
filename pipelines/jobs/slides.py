"""`beamscope slides`: whole-slide images to a dataset of embeddings.

match ─ plan ─ drop what is done ─ Reshuffle ─ read ─ RunInference ─ write part ─ assemble
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam

from beamscope.pipelines.jobs.job import Asked, Job, job_parser, resolve_model, run_job
from beamscope.pipelines.main import command
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.model import model_settings_from
from beamscope.pipelines.options.slides import (
    add_slide_arguments,
    slide_cache_from,
    slide_requests_from,
    slide_settings_from,
    with_patch_size,
)
from beamscope.pipelines.runners.config import parse_job
from beamscope.pipelines.runners.dataflow import check_remote, prepare_dataflow
from beamscope.pipelines.runners.flink import check_flink
from beamscope.pipelines.runners.gpu import check_gpu_here, requires_gpu
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.inference.handler import SavedModelHandler
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.ptransforms.assemble import AssembleDataset
from beamscope.transforms.output.ptransforms.write_parts import WriteParts
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.planning.plan import ROW_SCHEMA
from beamscope.transforms.slides.planning.plan_file import planned_patches, request_identity
from beamscope.transforms.slides.ptransforms.plan_slides import PlanSlides
from beamscope.transforms.slides.ptransforms.read_slides import ReadSlideBlocks
from beamscope.transforms.slides.ptransforms.spread_blocks import SpreadBlocks
from beamscope.transforms.slides.ptransforms.sum_up_slides import SumUpSlides
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage.cache import FileCache

JOB = Job(
    name="slides",
    sources="slides",
    unit="patches",
    count_rows=planned_patches,
    rows=ROW_SCHEMA,
    table_name="slides",
    table=TABLE_SCHEMA,
)
_LOOKERS = 32


def build_pipeline(
    pipeline: beam.Pipeline,
    dataset: DatasetSpec,
    requests: Sequence[SlideRequest],
    settings: SlideSettings,
    model: ModelSettings,
    cache: FileCache,
    read_threads: int,
    require_gpu: bool = False,
) -> None:
    """Wires the job; every step but the wiring is a transform that can be used without it."""
    planned = (
        pipeline
        | "Slides" >> beam.Create(list(requests))
        | "Plan" >> PlanSlides(settings, dataset.layout, cache)
    )
    new_parts = (
        planned.blocks
        | "Spread" >> SpreadBlocks()
        | "Read" >> ReadSlideBlocks(read_threads, cache)
        | "Embed" >> EmbedBlocks(SavedModelHandler(model, require_gpu=require_gpu))
        | "Write" >> WriteParts(dataset.layout)
    )
    parts = (planned.parts, new_parts) | "AllParts" >> beam.Flatten()
    outcomes = {"slides": planned.slides, "parts": parts} | "SumUp" >> SumUpSlides(dataset.layout)
    outcomes | "Assemble" >> AssembleDataset(dataset)


def run(argv: Sequence[str]) -> int:
    """Runs the job that a command line asks for, and returns the exit status.

    Raises:
      InputError: what the user got wrong; nothing has run then, and nothing is written.
    """
    quiet()
    args, beam_options = parse_job(parser(), argv)
    prepare_dataflow(args, beam_options)
    check_flink(beam_options)
    requests = slide_requests_from(args)
    uris = (uri for slide in requests for uri in (slide.uri, slide.mask))
    check_remote(beam_options, "--manifest", uris)
    check_gpu_here(beam_options)
    model = with_patch_size(model_settings_from(args), args)
    spec = resolve_model(model, beam_options)
    settings = slide_settings_from(args, spec.input_size)
    return run_job(
        JOB,
        args,
        beam_options,
        requests=_as_they_are(requests),
        settings=dataclasses.asdict(settings),
        model=model,
        spec=spec,
        build=functools.partial(
            build_pipeline,
            requests=requests,
            settings=settings,
            model=model,
            cache=slide_cache_from(args),
            read_threads=args.read_threads,
            require_gpu=requires_gpu(beam_options),
        ),
    )


def _as_they_are(requests: Sequence[SlideRequest]) -> list[Asked]:
    # Sizes of remote slides are a request each: ask for many at a time.
    with ThreadPoolExecutor(_LOOKERS) as lookers:
        return list(map(Asked, requests, lookers.map(request_identity, requests)))


def parser() -> Parser:
    """The parser of the job's command line."""
    return job_parser(
        "slides",
        "Embed the patches of whole-slide images.",
        add_slide_arguments,
    )


if __name__ == "__main__":
    command(["slides", *sys.argv[1:]])
