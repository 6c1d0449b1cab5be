"""The models that a job is planned for: what cards and measurements say of them; none is loaded."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from beamscope.pipelines.estimates.rates import MeasuredRate, measured_rate
from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.jobs.models import read_together
from beamscope.pipelines.options.model import with_model_card
from beamscope.pipelines.terminal.card_notes import say_about_card
from beamscope.pipelines.terminal.say import note
from beamscope.transforms.fingerprints import settings_of
from beamscope.transforms.inference.model_files import local_model, model_digest
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.remedis import parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


@dataclasses.dataclass(frozen=True)
class PlannedModels:
    """What is known of the models before they are loaded.

    Attributes:
      images: how items become images.
      prepared: settings of how images are prepared for a model, where they are those of all models.
      measured: the rate of the models one after the other; None where one's is not known.
      features: length of their embeddings together; None where one's is not known.
    """

    images: Any
    prepared: Mapping[str, Any]
    measured: MeasuredRate | None
    features: int | None


def models_to_plan_for(job: Job, args: argparse.Namespace) -> PlannedModels:
    """Read the cards and the measurements of the models of a command line.

    Without ``--model`` there may still be a card, by ``--preset`` or ``--model_card``.

    Raises:
      InputError: ``bad_card``; ``bad_model``: there is no such model; ``bad_option``: one reading
        cannot serve all of them.
    """
    uris = [str(uri) for uri in args.model or ()]
    models = [with_model_card(ModelSettings(uri), args) for uri in uris or [""]]
    for model in models:
        say_about_card(model)
    rates = [_measured(uri) for uri in uris]
    known = [rate for rate in rates if rate is not None]
    sizes = [
        _input_px(job, args, model, rate)
        for model, rate in zip(models, rates or [None], strict=True)
    ]
    images = [job.settings(args, model, px) for model, px in zip(models, sizes, strict=True)]
    shared, _ = read_together(job, args, list(zip(models, sizes, images, strict=True)))
    lengths = [
        rate.features if rate is not None else model.features
        for model, rate in zip(models, rates or [None], strict=True)
    ]
    first, *others = [settings_of("embedding", one) for one in images]
    return PlannedModels(
        shared,
        {name: value for name, value in first.items() if all(o[name] == value for o in others)},
        _together(known) if known and len(known) == len(rates) else None,
        sum(one or 0 for one in lengths) if None not in lengths else None,
    )


def _together(rates: Sequence[MeasuredRate]) -> MeasuredRate:
    """Return the rate of one model after the other."""
    return dataclasses.replace(
        rates[0],
        images_per_second=1 / sum(1 / rate.images_per_second for rate in rates),
        features=sum(rate.features for rate in rates),
    )


def _measured(uri: str) -> MeasuredRate | None:
    """Return the rate of a model that check-model has measured here, by the model's content."""
    path = local_model(uri)
    if not path.exists():
        raise InputError(Kind.BAD_MODEL, f"--model {uri}: there is no such file or directory")
    found = measured_rate(model_digest(path))
    if found is None:
        note(f"--model {uri}: its rate is not known; `beamscope check-model {uri}` measures it")
    return found


def _input_px(
    job: Job, args: argparse.Namespace, model: ModelSettings, measured: MeasuredRate | None
) -> int:
    """Return the side of a model's input: as a job finds it, as far as that is known."""
    if args.input_size:
        return int(args.input_size)
    if model.input_size:
        return model.input_size
    if measured:
        return measured.input_px
    remedis = parse_remedis_name(model.uri)
    return remedis.input_size if remedis else job.planned_input_px(args)
