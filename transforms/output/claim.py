"""Claim an output directory for a run, and delete the dataset of an earlier run."""

from __future__ import annotations

import dataclasses
import logging

from beamscope.transforms.formats.registry import sidecar_names
from beamscope.transforms.output.cleaning import cleaned_path
from beamscope.transforms.output.layout import WORK_DIRECTORY, is_part, is_try, run_record
from beamscope.transforms.output.leases.lease_file import is_lease
from beamscope.transforms.output.requests_file import requests_path
from beamscope.transforms.output.run_record import (
    RunRecord,
    find_run_record,
    read_run_record,
    write_run_record,
)
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.output.shards import delete_shards, list_shards
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files

_log = logging.getLogger(__name__)

# The tables of outputs whose record is missing, damaged, or of version 0.1 (without table name).
_KNOWN_TABLES = ("slides", "images")


def claim_output(root: str, record: RunRecord, *, overwrite: bool = False) -> None:
    """Claim an output directory for a run, or continue the run that already claimed it.

    If the output holds embeddings, other settings are refused. If it holds none, it may be planned
    again with other settings, and the earlier plans stay.

    Args:
      root: the output directory.
      record: the record of this run.
      overwrite: delete the embeddings of an earlier run, whatever its settings. Plans stay, and
        plans with the same settings are used again.

    Raises:
      InputError: ``other_settings``: the output holds embeddings of another run; the message names
        the differences. ``old_output``: version 0.1 began the output. ``foreign_output``: the
        directory holds a dataset without a record of its run. ``unwritable_output``: the directory
        cannot be read or written.
    """
    with files.refusals(Kind.UNWRITABLE_OUTPUT, f"--output {root}: cannot be used: "):
        _claim(root, record, overwrite)


def check_claim(root: str, record: RunRecord, *, overwrite: bool = False) -> None:
    """Raise what `claim_output` would raise about what an output holds. It writes nothing.

    Raises:
      InputError: as `claim_output`; whether the output can be written is not tried.
    """
    with files.refusals(Kind.UNWRITABLE_OUTPUT, f"--output {root}: cannot be used: "):
        if not overwrite:
            _check(root, record)


def _claim(root: str, record: RunRecord, overwrite: bool) -> None:
    if overwrite:
        delete_output(root)
    elif (earlier := _check(root, record)) is not None:
        record = dataclasses.replace(record, cluster_job=earlier.cluster_job)
    if record.embedding is None and has_embeddings(root):
        # A plan changes nothing of what is embedded; the record must still say what that is.
        return
    try:
        write_run_record(root, record)
    except OSError as error:
        message = f"--output {root}: cannot be written to: {one_line(error)}"
        raise InputError(Kind.UNWRITABLE_OUTPUT, message) from error


def _check(root: str, record: RunRecord) -> RunRecord | None:
    """Return the record of the run that began an output, if this one may go on with it."""
    if (earlier := _earlier_record(root, record)) is not None:
        differences = _differences(record, earlier)
        if differences and has_embeddings(root):
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--output {root}: was begun with other settings: {'; '.join(differences)}. "
                f"Use those settings, {_adding(differences)}choose another output, or start anew "
                "with --overwrite",
            )
    elif list_shards(root):
        raise InputError(
            Kind.FOREIGN_OUTPUT,
            f"--output {root}: holds embeddings of a run that cannot be continued "
            "(its .beamscope directory is missing). Choose another output, or start anew with "
            "--overwrite",
        )
    return earlier


def _earlier_record(root: str, now: RunRecord) -> RunRecord | None:
    """Return the record of the run that began an output; of a damaged one, this run's record.

    The paths of parts have the fingerprint of their settings, so that they tell as well as the
    record whether the settings are the same.

    Raises:
      InputError: ``other_settings``: the record is damaged, and the output holds only embeddings of
        other settings.
    """
    try:
        return find_run_record(root)
    except DamagedError as error:
        own = {one.fingerprint for one in now.layout(root).each()}
        parts = [path for path in _work_files(root) if is_part(path)]
        if parts and not any(path.rsplit("/", 2)[-2] in own for path in parts):
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--output {root}: .beamscope/run.json is damaged, and what is embedded there has "
                "other settings than these. Use the settings that it was begun with, choose "
                "another output, or start anew with --overwrite",
            ) from error
        return now


def has_embeddings(root: str) -> bool:
    """Return whether an output holds a dataset or a finished block."""
    return bool(list_shards(root)) or any(map(is_part, _work_files(root)))


def _work_files(root: str) -> list[str]:
    return [file.path for file in files.list_files(files.join(root, WORK_DIRECTORY))]


def embeddings_in(root: str) -> tuple[int, int]:
    """Return the number of shards, and of finished blocks of all settings, in an output."""
    return len(list_shards(root)), sum(map(is_part, _work_files(root)))


def delete_output(root: str) -> None:
    """Delete the embeddings that beamscope wrote into a directory, and no other files.

    Plans stay. A directory without a run record and without shards is left alone.
    """
    record = run_record(root)
    if not (list_shards(root) or files.exists(record)):
        return
    # Delete the description first: the rest of a dataset must never look complete.
    tables = [f"{name}.parquet" for name in ("problems", *_tables(root))]
    names = ("dataset.json", *tables, *sidecar_names())
    files.delete([files.join(root, name) for name in names])
    delete_shards(root)
    files.delete_temporaries(root)
    files.delete_tree(files.join(root, "qc"))
    _delete_work(root)
    # Delete the record last: until then the directory is known as an output.
    files.delete([requests_path(root), record])


def _tables(root: str) -> tuple[str, ...]:
    """Return the name of the table of items; every known name if no record states it."""
    try:
        record = read_run_record(root)
    except InputError:
        record = None
    return (record.table,) if record is not None else _KNOWN_TABLES


def _delete_work(root: str) -> None:
    """Delete finished blocks and tries. Of version 0.1, also delete plans: nothing can use them."""
    try:
        known = read_run_record(root) is not None
    except InputError:
        known = False
    if known:
        found = _work_files(root)
        files.delete([path for path in found if is_part(path) or is_try(path)])
        files.delete([cleaned_path(root)])
    else:
        # The lease of this very job is among them.
        files.delete([path for path in _work_files(root) if not is_lease(path)])


def _adding(differences: list[str]) -> str:
    """Return the remedy that there is for another model, with a comma."""
    if all(difference.startswith("model_") for difference in differences):
        return "add a model by naming the one before with a --model of its own, "
    return ""


def _differences(now: RunRecord, was: RunRecord) -> list[str]:
    if now.job != was.job:
        return [f"job was {was.job!r} and is now {now.job!r}"]
    found = now.plan.differences(was.plan.settings)
    known = {one.digest for one in was.embeddings}
    # A model may be added, and one of several be taken away: the others' embeddings stay.
    if now.embeddings and was.embeddings and not any(one.digest in known for one in now.embeddings):
        found += [
            difference
            for difference in now.embeddings[0].differences(was.embeddings[0].settings)
            # The differences between the plans are already in the list.
            if not difference.startswith("plan was ")
        ]
    # A permission may be given later, since it changes nothing for what was let in without it.
    found += [
        f"{name} was True and is now False"
        for name, given in was.permissions.items()
        if given and not now.permissions.get(name)
    ]
    return found
