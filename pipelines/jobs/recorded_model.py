"""Take the model of a job from the record of its output, without loading it."""

from __future__ import annotations

import argparse
import dataclasses

from beamscope.transforms.inference.model_files import local_model, model_digest
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.output.model_record import ModelRecord, read_model_record
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

# Found from other flags, or checked by itself.
_NOT_COMPARED = frozenset({"uri", "tags", "flexible_size", "model_sha256", "batch_size"})


def recorded_model(args: argparse.Namespace) -> ModelSpec:
    """Return how the model is called that embedded into an output.

    Flags of the model that are not given are set to what they were.

    Args:
      args: the parsed flags; changed in place.

    Raises:
      InputError: ``no_run``: nothing is embedded there; ``bad_model``: a model is given, and it is
        another one; ``other_settings``: so is a flag of the model.
    """
    record = _record(args.output)
    if args.model is not None:
        path = local_model(args.model)
        if not path.exists():
            message = f"--model {args.model}: there is no such file or directory"
            raise InputError(Kind.BAD_MODEL, message)
        _check_digest(f"--model {args.model}", model_digest(path), record.spec)
    if args.model_sha256 is not None:
        _check_digest("--model_sha256", args.model_sha256.lower(), record.spec)
    args.model = record.settings.uri
    for field in dataclasses.fields(ModelSettings):
        if field.name in _NOT_COMPARED:
            continue
        now, was = getattr(args, field.name), getattr(record.settings, field.name)
        now = tuple(now) if isinstance(now, list) else now
        if now not in (field.default, was):
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--{field.name} {now}: {args.output} was embedded with {was or 'none given'}; "
                "leave the flag out, or use that value",
            )
        setattr(args, field.name, was)
    args.tags = record.settings.tags
    return record.spec


def _record(root: str) -> ModelRecord:
    with files.refusals(Kind.NO_RUN):
        run = read_run_record(root)
    if run is None or run.embedding is None:
        raise InputError(
            Kind.NO_RUN,
            f"--output {root}: nothing is embedded there that could be assembled; give the command "
            "without --only assemble, or with --only embed",
        )
    try:
        record = read_model_record(run.layout(root))
    except DamagedError:
        record = None
    if record is None:
        raise InputError(
            Kind.NO_RUN,
            f"--output {root}: there is no record of its model, since an earlier version began it "
            "or the record is damaged; the command without --only assemble writes it",
        )
    return record


def _check_digest(flag: str, digest: str, spec: ModelSpec) -> None:
    if digest != spec.digest:
        raise InputError(
            Kind.BAD_MODEL,
            f"{flag}: is another model than the one that has embedded there, "
            f"{spec.name} with SHA-256 {spec.digest}",
        )
