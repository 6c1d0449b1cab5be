"""`beamscope slides`: whole-slide images to a dataset of embeddings.

match ─ plan ─ drop what is done ─ Reshuffle ─ read ─ RunInference ─ write part ─ assemble
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

import apache_beam as beam

from pipelines.beam_options import add_runner_arguments, parse_job
from pipelines.command_line import Parser
from pipelines.job import (
    OK,
    TOO_MANY_FAILED,
    completed_before,
    digest_of,
    model_fingerprint,
    resolve_model,
    run_pipeline,
    versions,
)
from pipelines.main import main
from pipelines.model_options import add_model_arguments, model_settings_from
from pipelines.output_options import add_output_arguments, shard_format_from
from pipelines.quiet import quiet
from pipelines.slide_options import (
    add_slide_arguments,
    slide_requests_from,
    slide_settings_from,
    with_patch_size,
)
from pipelines.summary import print_summary
from transforms.inference.embed_blocks import EmbedBlocks
from transforms.inference.handler import SavedModelHandler
from transforms.inference.model_settings import ModelSettings
from transforms.output.assemble import AssembleDataset
from transforms.output.dataset import DatasetSpec
from transforms.output.fingerprint import Fingerprint, claim_output
from transforms.output.layout import Layout
from transforms.output.progress import ProgressReader
from transforms.output.write_parts import WriteParts
from transforms.slides.outcome import TABLE_SCHEMA
from transforms.slides.plan import ROW_SCHEMA
from transforms.slides.plan_file import planned_patches
from transforms.slides.plan_slides import PlanSlides
from transforms.slides.read_slides import ReadSlideBlocks
from transforms.slides.settings import SlideSettings
from transforms.slides.sources import SlideRequest
from transforms.slides.sum_up_slides import SumUpSlides


def build_pipeline(
    pipeline: beam.Pipeline,
    requests: Sequence[SlideRequest],
    settings: SlideSettings,
    model: ModelSettings,
    dataset: DatasetSpec,
    read_threads: int,
) -> None:
    """Wires the job; every step but the wiring is a transform that can be used without it."""
    planned = (
        pipeline
        | "Slides" >> beam.Create(list(requests))
        | "Plan" >> PlanSlides(settings, dataset.layout)
    )
    new_parts = (
        planned.blocks
        | "SpreadBlocks" >> beam.Reshuffle()
        | "Read" >> ReadSlideBlocks(read_threads)
        | "Embed" >> EmbedBlocks(SavedModelHandler(model))
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
    args, beam_options = parse_job(_parser(), argv)
    shard_format = shard_format_from(args)
    requests = slide_requests_from(args)
    model = with_patch_size(model_settings_from(args), args)
    spec = resolve_model(model)
    settings = slide_settings_from(args, spec.input_size)
    fingerprint = Fingerprint(
        {"job": "slides", **dataclasses.asdict(settings), **model_fingerprint(model, spec)}
    )
    claim_output(
        args.output, fingerprint, job="slides", items=len(requests), overwrite=args.overwrite
    )

    layout = Layout(args.output, fingerprint.digest)
    request = digest_of([[dataclasses.asdict(slide) for slide in requests],
                         dataclasses.asdict(shard_format)])  # fmt: skip
    dataset = DatasetSpec(
        layout=layout,
        shard_format=shard_format,
        rows=ROW_SCHEMA,
        features=spec.features,
        table_name="slides",
        table=TABLE_SCHEMA,
        metadata={
            "beamscope.version": versions()["beamscope"],
            "beamscope.fingerprint": fingerprint.digest,
            "beamscope.model_digest": spec.digest,
        },
        description={
            "job": "slides",
            "options": fingerprint.settings,
            "model": spec.to_json(),
            "versions": versions(),
            "request": request,
        },
    )
    description = completed_before(layout, request)
    finished = None
    if description is None:
        finished = run_pipeline(
            lambda pipeline: build_pipeline(
                pipeline, requests, settings, model, dataset, args.read_threads
            ),
            beam_options,
            ProgressReader(layout, len(requests), planned_patches),
            unit="patch",
            items="slides",
        )
    failed = print_summary(layout, "slides", finished)
    if failed > args.max_failed:
        print(
            f"beamscope slides: {failed:.0%} of the slides failed, more than "
            f"--max_failed {args.max_failed:g}",
            file=sys.stderr,
        )
        return TOO_MANY_FAILED
    return OK


def _parser() -> Parser:
    parser = Parser(
        prog="beamscope slides",
        description="Embed the patches of whole-slide images. Stopped at any moment, the same "
        "command goes on where it was.",
        epilog="Any option of Apache Beam can be given too, such as --runner or --temp_location.",
    )
    add_slide_arguments(parser)
    add_model_arguments(parser.add_argument_group("model"))
    add_output_arguments(parser)
    add_runner_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(["slides", *sys.argv[1:]]))
