"""The models of a job: each is loaded once before it, and all of them take the same images."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.model import resolve_model
from beamscope.pipelines.options.model import with_model_card
from beamscope.pipelines.options.several_models import arguments_of_each, column_names
from beamscope.transforms.fingerprints import declared_fields
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job


@dataclasses.dataclass(frozen=True)
class ChosenModel:
    """A model of a job.

    Attributes:
      column: name of its column of embeddings.
      settings: the user's settings of it.
      spec: how it is called when it is loaded.
    """

    column: str
    settings: ModelSettings
    spec: ModelSpec


def choose_models(
    job: Job,
    args: argparse.Namespace,
    options: PipelineOptions,
    recorded: Sequence[ModelSpec] | None = None,
) -> tuple[tuple[ChosenModel, ...], Any]:
    """Load the models of a command line, one after the other.

    Flags of how a model is called hold for each of them.

    Args:
      job: the job.
      args: the parsed flags.
      options: Beam's own options.
      recorded: how the models are called, where that is known, so that none is loaded.

    Returns:
      the models, and how items become images.

    Raises:
      InputError: a flag has an invalid value, also for one of several models; ``bad_model``;
        ``bad_option``: models that would be given different images.
    """
    of_each = arguments_of_each(args)
    columns = column_names(args.model)
    asked = [job.model_settings(one) for one in of_each]
    if not recorded:
        asked = [
            with_model_card(settings, one) for settings, one in zip(asked, of_each, strict=True)
        ]
    models: list[ChosenModel] = []
    images: list[Any] = []
    for place, (column, one, settings) in enumerate(zip(columns, of_each, asked, strict=True)):
        try:
            spec = recorded[place] if recorded else resolve_model(settings, options)
            images.append(job.settings(one, settings, spec.input_size))
        except InputError as error:
            if len(of_each) == 1 or settings.uri in error.message:
                raise
            raise InputError(error.kind, f"--model {settings.uri}: {error.message}") from error
        models.append(ChosenModel(column, settings, spec))
    _check_same_model(models)
    for model, others in zip(models[1:], images[1:], strict=True):
        _check_same_images(models[0], model, images[0], others)
    return tuple(models), images[0]


def _check_same_model(models: Sequence[ChosenModel]) -> None:
    """Refuse a model that is there twice: its parts would be the same."""
    for place, model in enumerate(models):
        for other in models[:place]:
            if model.spec.digest == other.spec.digest:
                raise InputError(
                    Kind.BAD_OPTION,
                    f"--model: {other.settings.uri} and {model.settings.uri} are the same model; "
                    "name it once",
                )


def _check_same_images(first: ChosenModel, other: ChosenModel, ours: Any, theirs: Any) -> None:
    """Refuse models that do not take the same images: a block is read once for all of them."""
    if ours == theirs:
        return
    sizes = first.spec.input_size, other.spec.input_size
    names = first.settings.uri, other.settings.uri
    if sizes[0] != sizes[1]:
        raise InputError(
            Kind.BAD_OPTION,
            f"--model: {names[0]} takes images of {sizes[0]} px and {names[1]} of {sizes[1]} px; "
            "models of one run must take images of one size, since each block is read once. Give "
            "--input_size if both take it, or embed with each into an output of its own",
        )
    before = {field.path: field.value for field in declared_fields(ours)}
    differences = [
        f"{field.name} {before.get(field.path)!r} and {field.value!r}"
        for field in declared_fields(theirs)
        if field.value != before.get(field.path)
    ]
    raise InputError(
        Kind.BAD_OPTION,
        f"--model: {names[0]} and {names[1]} would be given different images by default: "
        f"{', '.join(differences)}. Choose for both by the flag of that name, or embed with each "
        "into an output of its own",
    )
