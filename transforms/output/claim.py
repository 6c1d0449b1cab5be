"""Claiming an output directory for a run, and deleting what an earlier run wrote there."""

from __future__ import annotations

from beamscope.transforms.formats.registry import sidecar_names
from beamscope.transforms.output.layout import WORK_DIRECTORY, is_part, is_shard, run_record
from beamscope.transforms.output.requests_file import requests_path
from beamscope.transforms.output.run_record import RunRecord, read_run_record, write_run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files

# Of outputs whose record is gone, damaged, or of version 0.1, which did not say it.
_KNOWN_TABLES = ("slides", "images")


def claim_output(root: str, record: RunRecord, *, overwrite: bool = False) -> None:
    """Make an output directory this run's own, or go on with it where it is that already.

    Other settings are refused where something is embedded; as long as nothing is, an output may be
    planned again with other settings, and the plans of the earlier ones stay.

    Args:
      root: the output directory.
      record: of this run.
      overwrite: delete what an earlier run embedded there, whatever its settings. Plans stay: those
        of the same settings serve again.

    Raises:
      InputError: ``other_settings``: embeddings of another run are there; the message names what
        differs. ``old_output``: version 0.1 has begun it. ``foreign_output``: the directory holds
        a dataset that has no record of its run. ``unwritable_output``: it cannot be read or
        written.
    """
    with files.refusals(Kind.UNWRITABLE_OUTPUT, f"--output {root}: cannot be used: "):
        _claim(root, record, overwrite)


def _claim(root: str, record: RunRecord, overwrite: bool) -> None:
    if overwrite:
        delete_output(root)
    elif (earlier := read_run_record(root)) is not None:
        differences = _differences(record, earlier)
        if differences and has_embeddings(root):
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--output {root}: was begun with other settings: {'; '.join(differences)}. "
                "Use those, choose another output, or start anew with --overwrite",
            )
    elif _shards(root):
        raise InputError(
            Kind.FOREIGN_OUTPUT,
            f"--output {root}: holds embeddings of a run that cannot be continued "
            "(its .beamscope directory is gone); choose another, or --overwrite",
        )
    try:
        write_run_record(root, record)
    except OSError as error:
        message = f"--output {root}: cannot be written to: {one_line(error)}"
        raise InputError(Kind.UNWRITABLE_OUTPUT, message) from error


def has_embeddings(root: str) -> bool:
    """Return whether an output holds a dataset, or any finished block."""
    work = files.join(root, WORK_DIRECTORY)
    return bool(_shards(root)) or any(is_part(file.path) for file in files.list_files(work))


def delete_output(root: str) -> None:
    """Delete what beamscope embedded in a directory, and nothing else that lies there.

    Plans stay. A directory with neither the record of a run nor a shard holds nothing of ours.
    """
    shards = _shards(root)
    record = run_record(root)
    if not (shards or files.exists(record)):
        return
    # The description goes first: what is left of a dataset must never look complete.
    tables = [f"{name}.parquet" for name in ("problems", *_tables(root))]
    names = ("dataset.json", *tables, *sidecar_names())
    files.delete([files.join(root, name) for name in names])
    files.delete(shards)
    files.delete_temporaries(root)
    files.delete_tree(files.join(root, "qc"))
    _delete_work(root)
    # The record goes last: until then the directory is known as an output.
    files.delete([requests_path(root), record])


def _shards(root: str) -> list[str]:
    return [file.path for file in files.list_files(root, recursive=False) if is_shard(file.path)]


def _tables(root: str) -> tuple[str, ...]:
    """The names of the tables of what was asked for; all that are known where nothing says it."""
    try:
        record = read_run_record(root)
    except InputError:
        record = None
    return (record.table,) if record is not None else _KNOWN_TABLES


def _delete_work(root: str) -> None:
    """Delete finished blocks; of version 0.1, whose plans nobody can use, everything."""
    work = files.join(root, WORK_DIRECTORY)
    try:
        known = read_run_record(root) is not None
    except InputError:
        known = False
    if known:
        files.delete([file.path for file in files.list_files(work) if is_part(file.path)])
    else:
        files.delete_tree(work)


def _differences(now: RunRecord, was: RunRecord) -> list[str]:
    if now.job != was.job:
        return [f"job was {was.job!r} and is now {now.job!r}"]
    found = now.plan.differences(was.plan.settings)
    if now.embedding is not None and was.embedding is not None:
        found += [
            difference
            for difference in now.embedding.differences(was.embedding.settings)
            # The plan's own differences are named already.
            if not difference.startswith("plan was ")
        ]
    return found
