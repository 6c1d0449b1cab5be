"""`beamscope xrays`: chest X-ray archives to a dataset of embeddings.

match ─ list ─ drop what is done ─ Reshuffle ─ read ─ RunInference ─ write part ─ assemble
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beamscope.pipelines.jobs.job import Asked, Job, job_parser, resolve_model, run_job
from beamscope.pipelines.main import command
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.model import model_settings_from
from beamscope.pipelines.options.xrays import (
    add_xray_arguments,
    xray_settings_from,
    xray_sources_from,
)
from beamscope.pipelines.runners.config import parse_job
from beamscope.pipelines.runners.dataflow import prepare_dataflow
from beamscope.pipelines.runners.flink import check_flink
from beamscope.pipelines.runners.gpu import check_gpu_here, requires_gpu
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.inference.handler import SavedModelHandler
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.output.dataset import DatasetSpec
from beamscope.transforms.output.ptransforms.assemble import AssembleDataset
from beamscope.transforms.output.ptransforms.write_parts import WriteParts
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.outcome import PROBLEMS_SCHEMA, TABLE_SCHEMA, catalog_counts
from beamscope.transforms.xrays.planning.plan_file import planned_films, source_identity
from beamscope.transforms.xrays.ptransforms.plan_films import PlanFilms
from beamscope.transforms.xrays.ptransforms.read_films import ReadFilmBlocks
from beamscope.transforms.xrays.ptransforms.sum_up_films import SumUpFilms
from beamscope.transforms.xrays.reading.film_block import FILM_SCHEMA
from beamscope.transforms.xrays.settings import XraySettings
from beamscope.transforms.xrays.sources import Source

JOB = Job(
    name="xrays",
    sources="sources",
    unit="films",
    count_rows=planned_films,
    rows=FILM_SCHEMA,
    table_name="images",
    table=TABLE_SCHEMA,
    problems=PROBLEMS_SCHEMA,
)


def build_pipeline(
    pipeline: beam.Pipeline,
    dataset: DatasetSpec,
    sources: Sequence[Source],
    settings: XraySettings,
    model: ModelSettings,
    require_gpu: bool = False,
) -> None:
    """Wires the job; every step but the wiring is a transform that can be used without it."""
    if settings.catalog is not None:
        count = functools.partial(catalog_counts, settings=settings)
        dataset = dataclasses.replace(dataset, count_table=count)
    planned = (
        pipeline
        | "Sources" >> beam.Create(list(sources))
        | "Plan" >> PlanFilms(settings, dataset.layout)
    )
    new_parts = (
        planned.blocks
        | "SpreadBlocks" >> beam.Reshuffle()
        | "Read" >> ReadFilmBlocks(settings, dataset.layout)
        | "Embed" >> EmbedBlocks(SavedModelHandler(model, require_gpu=require_gpu))
        | "Write" >> WriteParts(dataset.layout)
    )
    parts = (planned.parts, new_parts) | "AllParts" >> beam.Flatten()
    outcomes = {"sources": planned.sources, "parts": parts} | "SumUp" >> SumUpFilms(
        settings, dataset.layout
    )
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
    sources = xray_sources_from(args)
    check_gpu_here(beam_options)
    model = model_settings_from(args)
    spec = resolve_model(model, beam_options)
    settings = xray_settings_from(args, model, spec.input_size)
    return run_job(
        JOB,
        args,
        beam_options,
        requests=[Asked(source, source_identity(source)) for source in sources],
        settings=_fingerprint(settings),
        model=model,
        spec=spec,
        build=functools.partial(
            build_pipeline,
            sources=sources,
            settings=settings,
            model=model,
            require_gpu=requires_gpu(beam_options),
        ),
    )


def _fingerprint(settings: XraySettings) -> dict[str, Any]:
    """What of the settings changes a number or a row; a catalogue counts by its content."""
    films = settings.films
    found = {
        **dataclasses.asdict(films.preprocess),
        "window": films.decode.window,
        "keep_tags": sorted(films.decode.keep_tags),
        **dataclasses.asdict(films.decode.limits),
        "views": sorted(films.views),
        "block_size": settings.block_size,
        "catalog": None,
    }
    found["preprocess"] = found.pop("kind")
    if settings.catalog is not None:
        content = files.read_bytes(settings.catalog.uri)
        digest = hashlib.sha256(content).hexdigest()[:16]
        found["catalog"] = [settings.catalog.kind, settings.catalog.key_column, digest]
    return found


def parser() -> Parser:
    """The parser of the job's command line."""
    return job_parser(
        "xrays",
        "Embed chest radiographs straight out of the archives in which collections come.",
        add_xray_arguments,
    )


if __name__ == "__main__":
    command(["xrays", *sys.argv[1:]])
