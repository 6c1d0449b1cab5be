"""The models of a job: each is loaded once before it, and all of them take the same images."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.few_images import FewImages
from beamscope.pipelines.jobs.model import resolve_model
from beamscope.pipelines.options.model import with_model_card
from beamscope.pipelines.options.several_models import arguments_of_each, column_names
from beamscope.transforms.fingerprints import declared_fields
from beamscope.transforms.inference.handler import OwnImages
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.output.model_record import ModelRecord
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
      images: how items become images for it, as for a run of it alone.
      own: how it finds its images in a block that several models share.
      plainly: whether workers make the plain call, because compiling is not worth it.
    """

    column: str
    settings: ModelSettings
    spec: ModelSpec
    images: Any
    own: OwnImages = dataclasses.field(default_factory=OwnImages)
    plainly: bool = False

    @property
    def for_workers(self) -> ModelSettings:
        """Return the settings with which workers open the model that has been looked at."""
        compiled_by = "none" if self.plainly else self.settings.compile
        return dataclasses.replace(
            self.settings, model_sha256=self.spec.digest, compile=compiled_by
        )


def choose_models(
    job: Job,
    args: argparse.Namespace,
    options: PipelineOptions,
    recorded: Sequence[ModelRecord] | None = None,
    requests: Sequence[Any] = (),
) -> tuple[tuple[ChosenModel, ...], Any]:
    """Load the models of a command line, one after the other.

    Flags of how a model is called hold for each of them.

    Args:
      job: the job.
      args: the parsed flags.
      options: Beam's own options.
      recorded: records of the models, where there are, so that none is loaded.
      requests: the items to embed.

    Returns:
      the models, and how items become images.

    Raises:
      InputError: a flag has an invalid value, also for one of several models; ``bad_model``;
        ``bad_option``: models that would be given different images.
    """
    of_each = arguments_of_each(args)
    columns = column_names(args.model)
    if recorded:
        # Each model's own: a card says how one is called, not the other.
        asked = [one.settings for one in recorded]
    else:
        asked = [with_model_card(job.model_settings(one), one) for one in of_each]
    few = FewImages(job, requests, options)
    models: list[ChosenModel] = []
    for place, (column, one, settings) in enumerate(zip(columns, of_each, asked, strict=True)):
        try:
            plainly = not recorded and few.call_plainly(settings)
            called = dataclasses.replace(settings, compile="none") if plainly else settings
            spec = recorded[place].spec if recorded else resolve_model(called, options, args.output)
            if plainly:
                # What is asked for: more images may be added that are worth compiling.
                spec = dataclasses.replace(spec, compile=settings.compile)
            images = job.settings(one, settings, spec.input_size)
        except InputError as error:
            if len(of_each) == 1 or settings.uri in error.message:
                raise
            raise InputError(error.kind, f"--model {settings.uri}: {error.message}") from error
        models.append(ChosenModel(column, settings, spec, images, plainly=plainly))
    _check_same_model(models)
    shared, owns = read_together(
        job, args, [(model.settings, model.spec.input_size, model.images) for model in models]
    )
    chosen = (dataclasses.replace(model, own=own) for model, own in zip(models, owns, strict=True))
    return tuple(chosen), shared


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


def read_together(
    job: Job, args: argparse.Namespace, models: Sequence[tuple[ModelSettings, int, Any]]
) -> tuple[Any, Sequence[OwnImages]]:
    """Return how blocks are read once for all models, and how each finds its images in them.

    Args:
      job: the job.
      args: the parsed flags.
      models: of each model the settings, the side of its input in pixels, and how items become
        images for it alone.

    Raises:
      InputError: ``bad_option``: one reading cannot serve all of them.
    """
    images = models[0][2]
    if all(own == images for _, _, own in models):
        return images, [OwnImages()] * len(models)
    once = job.read_once(args, [(settings, own) for settings, _, own in models])
    if once is None:
        raise _other_images(models)
    return once


def _other_images(models: Sequence[tuple[ModelSettings, int, Any]]) -> InputError:
    """Return the refusal of models that one reading of a block cannot serve."""
    first, *others = models
    other = next(model for model in others if model[2] != first[2])
    sizes = first[1], other[1]
    names = first[0].uri, other[0].uri
    if sizes[0] != sizes[1]:
        return InputError(
            Kind.BAD_OPTION,
            f"--model: {names[0]} takes images of {sizes[0]} px and {names[1]} of {sizes[1]} px, "
            "and each block is read once: give --patch_size where the job has it, --input_size if "
            "both take it, or embed with each into an output of its own",
        )
    before = {field.path: field.value for field in declared_fields(first[2])}
    differences = [
        f"{field.name} {before.get(field.path)!r} and {field.value!r}"
        for field in declared_fields(other[2])
        if field.value != before.get(field.path)
    ]
    return InputError(
        Kind.BAD_OPTION,
        f"--model: {names[0]} and {names[1]} would be given different images by default: "
        f"{', '.join(differences)}. Choose for both by the flag of that name, or embed with each "
        "into an output of its own",
    )
