"""Parse and check the command line of a job, and derive its run record and dataset."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.jobs.models import ChosenModel, choose_models
from beamscope.pipelines.jobs.parser import job_parser
from beamscope.pipelines.jobs.recorded_model import recorded_models
from beamscope.pipelines.jobs.requests import merged_requests
from beamscope.pipelines.options.extent import Extent, extent_from, needs_model
from beamscope.pipelines.options.output import shard_format_from
from beamscope.pipelines.runners.checks import check_runner, check_runner_sees
from beamscope.pipelines.runners.config import parse_job
from beamscope.pipelines.runners.dataflow import runner_notes
from beamscope.pipelines.terminal.say import note
from beamscope.transforms.activity import doing
from beamscope.transforms.fingerprints import Fingerprint, settings_of
from beamscope.transforms.output.cleaning import find_cleaned
from beamscope.transforms.output.dataset import DatasetSpec, find_description
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.provenance import versions
from beamscope.transforms.output.run_record import RunRecord
from beamscope.transforms.output.schema import FeatureLengths
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.output.shards import ShardFormat
from beamscope.transforms.output.verify import check_dataset
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.files import FileInfo

_log = logging.getLogger(__name__)
_DAMAGED_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Order:
    """A checked command line of a job.

    Attributes:
      job: the job.
      args: the parsed flags.
      options: Beam's own options.
      requests: the items to embed.
      settings: how items become images.
      models: the models, in the order of their columns; none for a job that runs none.
      shard_format: the form of the shards.
      left_out: number of files that were found and not taken, by kind of file.
      command_line: the command line as typed, for the description of the dataset.
      extent: how much of the job this start does.
    """

    job: Job
    args: argparse.Namespace
    options: PipelineOptions
    requests: Sequence[Any]
    settings: Any
    models: Sequence[ChosenModel]
    shard_format: ShardFormat
    left_out: Mapping[str, int]
    command_line: str
    extent: Extent = dataclasses.field(default_factory=Extent)

    @functools.cached_property
    def seen(self) -> Mapping[str, FileInfo | None]:
        """Return the files of the requests as they are now, by uri; see `Job.look`."""
        return self.job.look(self.requests)


def understand(job: Job, argv: Sequence[str]) -> Order:
    """Parse and check a command line. Cheap checks come first; loading the model comes last.

    Raises:
      InputError: a flag or an input is wrong.
    """
    args, options = parse_job(job_parser(job, model_required=needs_model(argv)), argv)
    extent = extent_from(args)
    shard_format = shard_format_from(args)
    check_runner(job, args, options)
    with doing(f"looking for {job.items}"):
        asked = job.requests(args)
    for text in (*runner_notes(options), *asked.notes):
        note(text)
    requests = asked.items
    check_runner_sees(job, options, requests)
    models: Sequence[ChosenModel] = ()
    if job.embeds:
        recorded = None if extent.embeds else recorded_models(args)
        models, settings = choose_models(job, args, options, recorded, requests)
    else:
        settings = job.settings_without_model(args)
    if not args.overwrite:
        requests = merged_requests(
            job, args.output, requests, add=args.add, only_these=args.only_these
        )
    return Order(
        job,
        args,
        options,
        requests,
        settings,
        models,
        shard_format,
        asked.left_out,
        shlex.join(["beamscope", job.name, *argv]),
        extent,
    )


def plan_fingerprint(job: Job, settings: Any) -> Fingerprint:
    """Return the fingerprint of the settings that change a plan."""
    return Fingerprint(
        {"job": job.name, "plan_version": job.plan_version, **settings_of("plan", settings)}
    )


def run_record_of(order: Order) -> RunRecord:
    """Return the record of a run, with the fingerprints of its plan and its embedding."""
    job = order.job
    plan = plan_fingerprint(job, order.settings)

    def own(*settings: Any) -> Fingerprint:
        return Fingerprint({"plan": plan.digest, **settings_of("embedding", *settings)})

    of_models = tuple((model.column, own(model.images, model.spec)) for model in order.models)
    if len(of_models) < 2:
        embedding = of_models[0][1] if of_models else own(order.settings)
        of_models = ()
    else:
        columns = [[column, one.digest] for column, one in of_models]
        embedding = Fingerprint({"plan": plan.digest, "models": columns})
    permissions = settings_of("permission", order.settings)
    return RunRecord(
        job.name, len(order.requests), job.table_name, plan, embedding, permissions, of_models
    )


def request_digest(order: Order) -> str:
    """Return a digest of the requested items, their present files, and the form of the shards."""
    identities = order.job.identities_seen(order.requests, order.seen)
    wanted = [
        *({"request": dataclasses.asdict(request), "identity": identity}
          for request, identity in zip(order.requests, identities, strict=True)),
        dataclasses.asdict(order.shard_format),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


def complete_before(layout: Layout, job: Job, request: str) -> bool:
    """Return whether the dataset holds exactly this request, whole, and no item failed.

    If not, the job tries the failed items again and assembles the dataset again.
    """
    try:
        description = find_description(layout.root)
    except DamagedError as error:
        _say_damaged([error])
        return False
    if (
        description is None
        or description.get("fingerprint") != layout.fingerprint
        or description.get("request") != request
        or description["counts"][job.table_name].get("failed")
    ):
        return False
    damaged = check_dataset(layout.root, description)
    _say_damaged(damaged)
    return not damaged


def check_not_cleaned(order: Order, layout: Layout) -> None:
    """Check that a job need not embed again what `beamscope clean` has removed.

    Raises:
      InputError: ``cleaned``.
    """
    root, job = order.args.output, order.job
    cleaned = find_cleaned(root)
    if cleaned is None or order.args.overwrite:
        return
    if complete_before(layout, job, request_digest(order)):
        return
    raise InputError(
        Kind.CLEANED,
        f"--output {root}: its finished blocks were removed on {cleaned.day} (beamscope clean), so "
        f"that for any change all {len(order.requests):,} {job.items} have to be done again: give "
        "--overwrite for that, or choose another output for what is new. The dataset is still "
        "there",
    )


def _say_damaged(damaged: Sequence[DamagedError]) -> None:
    for error in damaged[:_DAMAGED_SHOWN]:
        _log.warning("damaged: %s", error)
    if damaged:
        more = len(damaged) - _DAMAGED_SHOWN
        also = f", and {more:,} other files are damaged" if more > 0 else ""
        _log.warning("the dataset has to be assembled again%s", also)


def dataset_of(order: Order, record: RunRecord, layout: Layout, request: str) -> DatasetSpec:
    """Return the form of a run's dataset."""
    job = order.job
    return DatasetSpec(
        layout=layout,
        shard_format=order.shard_format,
        rows=job.rows,
        features=_features(order.models),
        table_name=job.table_name,
        table=job.table,
        metadata={
            "beamscope.version": importlib.metadata.version("beamscope"),
            "beamscope.fingerprint": layout.fingerprint,
            **_digests(order.models),
        },
        description={
            "job": job.name,
            "options": record.settings,
            **_described(order.models, layout),
            "versions": versions(),
            "command_line": order.command_line,
            "request": request,
            "items": record.items,
        },
        problems=job.problems,
        count_table=job.count_table(order.settings),
        left_out=order.left_out,
        extend_table=job.extend_table(order.settings, order.requests),
    )


def _features(models: Sequence[ChosenModel]) -> FeatureLengths:
    if len(models) > 1:
        return {model.column: model.spec.features for model in models}
    return models[0].spec.features if models else 0


def _digests(models: Sequence[ChosenModel]) -> dict[str, str]:
    """Return the digests of the models, for the metadata of shards."""
    if len(models) > 1:
        return {f"beamscope.model_digest.{one.column}": one.spec.digest for one in models}
    return {"beamscope.model_digest": models[0].spec.digest} if models else {}


def _described(models: Sequence[ChosenModel], layout: Layout) -> dict[str, Any]:
    """Return what ``dataset.json`` says of the models: ``model`` of one, ``models`` of several."""
    if len(models) < 2:
        return {"model": models[0].spec.to_json() if models else None}
    fingerprints = dict(layout.embeddings)
    images = [settings_of("embedding", model.images) for model in models]
    differing = [name for name in images[0] if any(one[name] != images[0][name] for one in images)]
    described = [
        {
            "column": model.column,
            "fingerprint": fingerprints[model.column],
            **model.spec.to_json(),
            **{name: own[name] for name in differing},
        }
        for model, own in zip(models, images, strict=True)
    ]
    return {"model": None, "models": described}
