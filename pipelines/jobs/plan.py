"""Plan a job without a model: parse its command line, plan its items, and say what is planned."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.estimates.costs import estimate, load_costs
from beamscope.pipelines.jobs.execute import execute
from beamscope.pipelines.jobs.hold import hold_output
from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.jobs.order import plan_fingerprint
from beamscope.pipelines.jobs.plan_models import models_to_plan_for
from beamscope.pipelines.options.command_line import Parser, check_range, place
from beamscope.pipelines.options.model import add_card_arguments
from beamscope.pipelines.options.output import add_output_arguments, shard_format_from
from beamscope.pipelines.options.several_models import named_model
from beamscope.pipelines.runners.config import add_runner_arguments, config_options, parse_job
from beamscope.pipelines.terminal.live import LINE
from beamscope.pipelines.terminal.planned import Planned, table_of, text_of
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.pipelines.terminal.say import note
from beamscope.pipelines.terminal.summary import Finished
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.run import run_id
from beamscope.transforms.fingerprints import settings_of
from beamscope.transforms.formats.parquet import write_table
from beamscope.transforms.output.claim import check_claim, claim_output, has_embeddings
from beamscope.transforms.output.layout import Layout, file_name
from beamscope.transforms.output.plan_index import update_index
from beamscope.transforms.output.plans import KnownPlan, PlanFile
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.ptransforms.plan_items import PlanItems
from beamscope.transforms.output.requests_file import write_requests
from beamscope.transforms.output.run_record import RunRecord
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

# From so many items on, processes of their own are worth their start.
_MANY = 24
# The flags of a job's output that would delete or drop something.
_NOT_HERE = ("overwrite", "add", "only_these")
_ESSENTIAL = ("model", "output", "runner_config", "page_slides", "geojson", "json")
# The embeddings of REMEDIS's smaller models, and of most others about.
_FEATURES = 2048


def plan_parser(job: Job) -> Parser:
    """Return the parser of `beamscope plan` for a job."""
    parser = Parser(
        essential=(*job.essential, *_ESSENTIAL),
        examples=[_as_plan(job, example) for example in job.examples],
        prog=f"beamscope plan {job.name}",
        description=f"Plan `beamscope {job.name}` without a model: it reads headers and thumbnails "
        "only. Plans stay in the output, and the job uses them. Planning again with other settings "
        "is free as long as nothing is embedded.",
        epilog="Every other flag is as for the job.",
    )
    job.add_arguments(parser)
    group = parser.add_argument_group("what is planned for")
    group.add_argument(
        "--model",
        metavar="MODEL",
        type=named_model(place("--model")),
        action="append",
        help="for its rate, if `beamscope check-model` has measured it here; it is not loaded",
    )
    group.add_argument(
        "--input_size",
        type=int,
        metavar="PIXELS",
        help="side of the model's input in pixels (default: as its card, check-model or a REMEDIS "
        f"name says, else {job.input_px})",
    )
    add_card_arguments(group)
    group.add_argument(
        "--features",
        type=int,
        metavar="N",
        help="length of an embedding (default: as check-model or the model's card says, else "
        f"{_FEATURES})",
    )
    group.add_argument(
        "--images_per_second",
        type=float,
        metavar="RATE",
        help="what one machine embeds (default: as check-model has measured it, else as the table "
        "of costs says)",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of machines (default: the most that the runner config allows)",
    )
    group.add_argument(
        "--costs",
        metavar="FILE.yaml",
        type=place("--costs", local=True),
        help="table of throughputs and prices (default: beamscope's own, whose path is shown)",
    )
    group.add_argument("--json", action="store_true", help="print the plan as JSON, for programs")
    job.add_plan_arguments(parser)
    add_output_arguments(parser)
    add_runner_arguments(parser)
    return parser


def _as_plan(job: Job, example: str) -> str:
    """Return an example of a job as one of its plan."""
    planned = example.replace(f"beamscope {job.name}", f"beamscope plan {job.name}")
    return planned.replace(" --model MODEL", "").replace(" --dry_run", "")


def plan_job(job: Job, argv: Sequence[str]) -> int:
    """Plan a job, and return the exit status.

    Planning itself runs on this machine; the runner config is that of the job that is planned.

    Raises:
      InputError: a flag or an input is wrong. Nothing has been written then.
    """
    if not job.embeds:
        raise InputError(
            Kind.BAD_OPTION,
            f"{job.name}: runs no model, so that there is no rate to plan for; "
            f"`beamscope {job.name} --dry_run` says what it would do",
        )
    quiet()
    args, options = parse_job(plan_parser(job), argv)
    costs = _check(args)
    shard_format = shard_format_from(args)
    asked = job.requests(args)
    for text in asked.notes:
        note(text)
    models = models_to_plan_for(job, args)
    settings = models.images
    record = RunRecord(
        job.name,
        len(asked.items),
        job.table_name,
        plan_fingerprint(job, settings),
        None,
        settings_of("permission", settings),
    )
    check_claim(args.output, record)
    with hold_output(args.output):
        claim_output(args.output, record)
        if not has_embeddings(args.output):
            write_requests(args.output, asked.items)
        layout = record.layout(args.output)
        finished = _plan(job, asked.items, settings, args, layout)

        known: dict[str, PlanFile] = {}
        if not files.is_local(args.output):
            # The headers of all plans, without a request for each, now and at a later start.
            texts = update_index(layout)
            known = {name: KnownPlan(json.loads(text)) for name, text in texts.items()}
        items = [
            job.planned(
                layout, request, known.get(file_name(request.id)) or layout.plan(request.id)
            )
            for request in asked.items
        ]
        rows = sum(item.rows or 0 for item in items)
        estimated = estimate(
            rows,
            options,
            costs,
            workers=args.workers,
            images_per_second=args.images_per_second,
            measured=models.measured,
        )
        planned = Planned(
            job=job,
            items=items,
            finished=finished,
            features=args.features or models.features or _FEATURES,
            features_are_known=bool(args.features or models.features),
            dtype=args.dtype,
            formats=len(shard_format.formats),
            shards=shard_format.count(rows),
            estimate=estimated,
            left_out=asked.left_out,
            command=_command_of(job, argv),
        )
        folder = files.join(args.output, "plan")
        write_table(files.join(folder, f"{job.items}.parquet"), table_of(items))
        content = {**planned.to_json(), "settings": {**record.settings, **models.prepared}}
        text = json.dumps(content, indent=2)
        files.write_bytes(files.join(folder, "plan.json"), (text + "\n").encode())
        pages = list(job.plan_pages(layout, asked.items, settings, args))
        LINE.close()
        if args.json:
            print(text)
            return 0
        written = ("written", f"{folder}/plan.json, {folder}/{job.items}.parquet")
        print("\n" + text_of(planned, [*pages, written]))
        return 0


def _check(args: argparse.Namespace) -> Mapping[str, Any]:
    """Refuse flags that are wrong here, and return the table of costs."""
    for name in _NOT_HERE:
        if getattr(args, name):
            raise InputError(Kind.BAD_OPTION, f"--{name}: is a flag of the job, not of plan")
    for flag, value, low, high in (
        ("--input_size", args.input_size, 1, 65_536),
        ("--features", args.features, 1, 1_000_000),
        ("--images_per_second", args.images_per_second, 1e-6, 1e9),
        ("--workers", args.workers, 1, 100_000),
    ):
        if value is not None:
            check_range(flag, value, low, high)
    return load_costs(args.costs)


def _plan(
    job: Job, requests: Sequence[Any], settings: Any, args: argparse.Namespace, layout: Layout
) -> Finished:
    """Plan every item that has no plan yet, on the cores of this machine."""

    def build(pipeline: beam.Pipeline) -> None:
        guard = Guard(layout, run_id(), args.item_timeout, len(requests))
        planner = job.thorough(job.steps(settings, args, layout).planner)
        _ = (
            pipeline
            | "Requests" >> beam.Create(list(requests))
            | "Plan" >> PlanItems(planner, layout, guard)
        )

    options = config_options("direct_parallel" if len(requests) >= _MANY else "direct")
    progress = ProgressReader(layout, len(requests), job.glance)
    return execute(job, build, PipelineOptions(options), progress)


def _command_of(job: Job, argv: Sequence[str]) -> str:
    """Return the command that embeds what is planned, without the flags of plan alone."""
    own = {"--features", "--images_per_second", "--workers", "--costs", "--input_size", "--json"}
    own |= {"--page_slides", "--geojson"}
    kept: list[str] = []
    skipping = False
    for argument in argv:
        if argument.startswith("--"):
            name = argument.partition("=")[0]
            skipping = name in own
        if not skipping:
            kept.append(argument)
    if not any(argument.partition("=")[0] == "--model" for argument in kept):
        kept += ["--model", "MODEL"]
    return shlex.join(["beamscope", job.name, *kept])
