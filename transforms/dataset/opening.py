"""Open the dataset of an output directory, or say why there is none."""

from __future__ import annotations

import os

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.output.dataset import find_description
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files


def open_dataset(output: str | os.PathLike[str], *, embedding: str | None = None) -> Dataset:
    """Open the dataset that a job has written. It loads neither Beam nor a library of models.

    Args:
      output: output directory of the job: a local path, gs:// or s3://.
      embedding: of a dataset of several models, the one whose embeddings are meant where no column
        is named: NAME or ``embedding_NAME``.

    Raises:
      InputError: ``no_run``: there is no finished dataset. ``no_parquet``: the dataset was written
        in other formats alone. ``unknown_column``: it has no such embeddings.
    """
    root = os.fspath(output)
    with files.refusals(Kind.NO_RUN):
        root = files.normalize(root).rstrip("/") or "/"
        try:
            description = find_description(root)
        except DamagedError as error:
            message = f"{one_line(error)}. `beamscope verify {root}` checks all files"
            raise InputError(Kind.UNREADABLE_DATASET, message) from error
    if description is None:
        folder, _, last = root.rpartition("/")
        inside = last.startswith("embeddings") and folder and files.exists(f"{folder}/dataset.json")
        hint = (
            f"Give its output directory: {folder}"
            if inside
            else f"A job writes dataset.json at its end; `beamscope status {root}` shows its "
            "progress"
        )
        raise InputError(Kind.NO_RUN, f"{root}: holds no finished dataset. {hint}")
    return Dataset(root, description, embedding)
