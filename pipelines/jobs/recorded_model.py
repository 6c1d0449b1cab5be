"""Take the models of a job from the records of its output, without loading them."""

from __future__ import annotations

import argparse
import dataclasses

from beamscope.pipelines.options.several_models import ModelUri
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.kept_models import decides_call
from beamscope.transforms.inference.model_files import local_model, model_digest
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.output.model_record import (
    ModelRecord,
    own_version,
    read_model_record,
)
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.output.schema import EMBEDDING
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

# Found from other flags, or checked by itself.
_NOT_COMPARED = frozenset({
    "uri", "tags", "flexible_size", "model_sha256", "batch_size",
    # These come from a card, and have no flag.
    "token_pooling", "features", "card", "from_card", "card_notes", "card_mpp",
    "card_resize",
})  # fmt: skip


def recorded_models(args: argparse.Namespace) -> list[ModelRecord]:
    """Return the records of the models that embedded into an output.

    Args:
      args: the parsed flags; their models become those of the records.

    Raises:
      InputError: ``no_run``: nothing is embedded there; ``bad_model``: a model is given, and it is
        another one; ``other_settings``: so is a flag of the model.
    """
    names, records = _records(args.output)
    for flag, given in (("model", args.model), ("model_sha256", args.model_sha256)):
        if given is not None and len(given) != len(records):
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--{flag}: {len(given)} models are given, and {args.output} was embedded last by "
                f"{len(records)}; leave the flag out, or name those",
            )
    for model, record in zip(args.model or (), records, strict=False):
        path = local_model(str(model))
        if not path.exists():
            message = f"--model {model}: there is no such file or directory"
            raise InputError(Kind.BAD_MODEL, message)
        _check_digest(f"--model {model}", model_digest(path), record.spec)
    for digest, record in zip(args.model_sha256 or (), records, strict=False):
        _check_digest("--model_sha256", digest.lower(), record.spec)
    args.model = [
        ModelUri(record.settings.uri, name) for name, record in zip(names, records, strict=True)
    ]
    args.model_sha256 = None
    for record in records:
        _check_flags(args, record, several=len(records) > 1)
    return records


def _check_flags(args: argparse.Namespace, record: ModelRecord, *, several: bool) -> None:
    """Check that the flags of how models are called, which hold for all, say what a record says."""
    for field in dataclasses.fields(ModelSettings):
        if field.name in _NOT_COMPARED:
            continue
        now, was = getattr(args, field.name), getattr(record.settings, field.name)
        now = tuple(now) if isinstance(now, list) else now
        if now not in (field.default, was):
            of = f" by {record.spec.name}" if several else ""
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--{field.name} {now}: {args.output} was embedded{of} with "
                f"{was or 'none given'}; leave the flag out, or use that value",
            )


def spec_found_before(root: str, found: FoundModel) -> ModelSpec | None:
    """Return how a model is called, where an earlier start into an output has found it out.

    The model, the settings that decide about it, and the version of beamscope have to be the same.
    """
    try:
        run = read_run_record(root)
        layouts = run.layout(root).each() if run is not None and run.embedding is not None else ()
        records = [read_model_record(layout) for layout in layouts]
    # Whoever goes on with the output meets the fault again, and says it.
    except (DamagedError, InputError, OSError):
        return None
    alike = [
        record
        for record in records
        if record is not None
        and record.found_by == own_version()
        and record.spec.backend == found.backend.name
        and decides_call(record.settings) == decides_call(found.settings)
    ]
    if not alike:
        return None
    digest = model_digest(found.path)
    return next((record.spec for record in alike if record.spec.digest == digest), None)


def _records(root: str) -> tuple[list[str], list[ModelRecord]]:
    """Return the names of the models, empty for one alone, and their records."""
    with files.refusals(Kind.NO_RUN):
        run = read_run_record(root)
    if run is None or run.embedding is None:
        raise InputError(
            Kind.NO_RUN,
            f"--output {root}: nothing is embedded there that could be assembled; give the command "
            "without --only assemble, or with --only embed",
        )
    layout = run.layout(root)
    try:
        found = [read_model_record(one) for one in layout.each()]
    except DamagedError:
        found = []
    records = [record for record in found if record is not None]
    if len(records) < len(layout.each()):
        raise InputError(
            Kind.NO_RUN,
            f"--output {root}: there is no record of its model, since an earlier version began it "
            "or the record is damaged; the command without --only assemble writes it",
        )
    names = [column.removeprefix(f"{EMBEDDING}_") for column, _ in layout.embeddings]
    return names or [""], records


def _check_digest(flag: str, digest: str, spec: ModelSpec) -> None:
    if digest != spec.digest:
        raise InputError(
            Kind.BAD_MODEL,
            f"{flag}: is another model than the one that has embedded there, "
            f"{spec.name} with SHA-256 {spec.digest}",
        )
