"""The fingerprint of a run: everything that changes a number, and the record that guards it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from beamscope.transforms.output.layout import WORK_DIRECTORY, is_shard, run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """The settings of a run that change a number, and their digest.

    Attributes:
      settings: flat names and JSON values, such as ``{"mpp": 0.5, "model_digest": "9f…"}``.
    """

    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of the settings as canonical JSON."""
        return hashlib.sha256(_canonical(self.settings).encode()).hexdigest()[:16]

    def differences(self, other: dict[str, Any]) -> list[str]:
        """One text for each setting that differs: ``mpp was 0.5 and is now 0.25``."""
        names = sorted(self.settings.keys() | other.keys())
        return [
            f"{name} was {other.get(name)!r} and is now {self.settings.get(name)!r}"
            for name in names
            # As JSON, like the digest: 1 and 1.0 differ, a list and a tuple do not.
            if _canonical(self.settings.get(name)) != _canonical(other.get(name))
        ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def claim_output(
    root: str, fingerprint: Fingerprint, *, job: str, items: int, overwrite: bool = False
) -> None:
    """Makes an output directory this run's own, or continues it where it is that already.

    Args:
      root: the output directory.
      fingerprint: of this run.
      job: its name: ``slides`` or ``xrays``.
      items: how many slides or archives it was asked for, against which progress is told.
      overwrite: delete what an earlier run wrote there, whatever its settings.

    Raises:
      InputError: another run's output is there; the message names what differs. Or the directory
        holds a dataset that has no record of its run, or cannot be written to.
    """
    record = run_record(root)
    if overwrite:
        delete_output(root)
    if files.exists(record):
        differences = fingerprint.differences(json.loads(files.read_bytes(record))["settings"])
        if differences:
            raise InputError(
                Kind.OTHER_SETTINGS,
                f"--output {root}: was begun with other settings: {'; '.join(differences)}. "
                "Use those, choose another output, or start anew with --overwrite",
            )
    elif any(is_shard(file.path) for file in files.list_files(root, recursive=False)):
        raise InputError(
            Kind.FOREIGN_OUTPUT,
            f"--output {root}: holds embeddings of a run that cannot be continued "
            "(its .beamscope directory is gone); choose another, or --overwrite",
        )
    content = {
        "job": job,
        "items": items,
        "fingerprint": fingerprint.digest,
        "settings": fingerprint.settings,
    }
    try:
        files.write_bytes(record, json.dumps(content, indent=2).encode())
    except OSError as error:
        message = f"--output {root}: cannot be written to: {one_line(error)}"
        raise InputError(Kind.UNWRITABLE_OUTPUT, message) from error


def delete_output(root: str) -> None:
    """Deletes what beamscope wrote in a directory, and nothing else that lies there.

    A directory with neither the record of a run nor a shard holds nothing of beamscope's.
    """
    shards = [file.path for file in files.list_files(root, recursive=False) if is_shard(file.path)]
    if not (shards or files.exists(run_record(root))):
        return
    # The description goes first: what is left of a dataset must never look complete.
    names = ("dataset.json", "slides.parquet", "images.parquet", "problems.parquet")
    files.delete([files.join(root, name) for name in (*names, "parsing_spec.json")])
    files.delete(shards)
    files.delete_temporaries(root)
    files.delete_tree(files.join(root, "qc"))
    files.delete_tree(files.join(root, WORK_DIRECTORY))
