"""The record of a run, ``.beamscope/run.json``: its job, its settings, and where it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.checked_json import read_json, write_json
from beamscope.transforms.output.cluster_job import ClusterJob
from beamscope.transforms.output.layout import Layout, run_record
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Version 0.1 wrote no such number; its plans and parts had one common fingerprint. Those of version
# 0.2, which wrote 2, had no checksums.
_FORMAT = 3


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The run that owns an output directory.

    Attributes:
      job: name of the job: ``slides`` or ``xrays``.
      items: number of requested slides or sources; progress is a part of it.
      table: name of the table of items: ``slides`` or ``images``.
      plan: the settings that change a plan.
      embedding: the settings that change an embedding, with the plan's digest; None if the run only
        plans. Of several models, it holds the digest of each by column.
      permissions: settings that let in items that are refused otherwise, see `in_permission`.
      models: of several models, the column of each and the settings that change its embeddings, as
        a run of it alone has them; empty for one.
      cluster_job: the job that was submitted to a cluster last; None where none was.
    """

    job: str
    items: int
    table: str
    plan: Fingerprint
    embedding: Fingerprint | None
    permissions: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    models: tuple[tuple[str, Fingerprint], ...] = ()
    cluster_job: ClusterJob | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Return every setting that changes a result, without the plan's digest.

        Of several models, those settings that are the same for all.
        """
        first, *others = [dict(one.settings) for one in self.embeddings] or [{}]
        embedding = {
            name: value
            for name, value in first.items()
            if name != "plan" and all(name in one and one[name] == value for one in others)
        }
        return {**self.plan.settings, **self.permissions, **embedding}

    @property
    def embeddings(self) -> tuple[Fingerprint, ...]:
        """Return the settings of the embeddings of each model; none if the run only plans."""
        if self.models:
            return tuple(fingerprint for _, fingerprint in self.models)
        return () if self.embedding is None else (self.embedding,)

    def layout(self, root: str) -> Layout:
        """Return the paths of the run in an output directory."""
        fingerprint = self.embedding.digest if self.embedding else ""
        models = tuple((column, one.digest) for column, one in self.models)
        return Layout(root, self.plan.digest, fingerprint, models)


def write_run_record(root: str, record: RunRecord) -> None:
    """Write the record of an output.

    Raises:
      OSError: the file cannot be written.
    """
    content = {
        "format": _FORMAT,
        "job": record.job,
        "items": record.items,
        "table": record.table,
        "plan": _as_json(record.plan),
        "embedding": record.embedding and _as_json(record.embedding),
        "permissions": dict(record.permissions),
        **(
            {"models": [{"column": name, **_as_json(one)} for name, one in record.models]}
            if record.models
            else {}
        ),
        **({"cluster_job": dataclasses.asdict(record.cluster_job)} if record.cluster_job else {}),
    }
    write_json(run_record(root), content)


def note_cluster_job(root: str, job: ClusterJob) -> None:
    """Write into the record of an output which job was submitted for it.

    Raises:
      OSError: the file cannot be written.
    """
    record = find_run_record(root)
    assert record is not None, "an output is claimed before a job is submitted for it"
    write_run_record(root, dataclasses.replace(record, cluster_job=job))


def read_run_record(root: str) -> RunRecord | None:
    """Return the record of an output; None if there is none.

    Raises:
      InputError: ``old_output`` if an earlier version wrote it, ``foreign_output`` if damaged.
    """
    try:
        return find_run_record(root)
    except DamagedError as error:
        raise InputError(
            Kind.FOREIGN_OUTPUT,
            f"{root}: .beamscope/run.json is damaged. The command of the job makes it again",
        ) from error


def find_run_record(root: str) -> RunRecord | None:
    """Return the record of an output; None if there is none.

    Raises:
      InputError: ``old_output`` if an earlier version wrote it.
      DamagedError: it is not what was written.
    """
    path = run_record(root)
    content = read_json(path)
    if content is None:
        return None
    if content.get("format") == _FORMAT:
        try:
            return _from_json(content)
        except (KeyError, TypeError) as error:
            raise DamagedError(path, "it is not the record of a run") from error
    if "job" not in content:
        raise DamagedError(path, "it is not the record of a run")
    old, why = (
        ("0.2", "whose plans and parts have no checksums")
        if "format" in content
        else ("0.1", "which kept its work in other places")
    )
    raise InputError(
        Kind.OLD_OUTPUT,
        f"{root}: was begun by beamscope {old}, {why}. You can still read a complete dataset "
        "there. To embed, choose another output, or start anew with --overwrite",
    )


def _from_json(content: dict[str, Any]) -> RunRecord:
    return RunRecord(
        content["job"],
        content["items"],
        content["table"],
        Fingerprint(content["plan"]["settings"]),
        content["embedding"] and Fingerprint(content["embedding"]["settings"]),
        content.get("permissions", {}),
        tuple((one["column"], Fingerprint(one["settings"])) for one in content.get("models", ())),
        ClusterJob(**content["cluster_job"]) if "cluster_job" in content else None,
    )


def _as_json(fingerprint: Fingerprint) -> dict[str, Any]:
    return {"fingerprint": fingerprint.digest, "settings": dict(fingerprint.settings)}
