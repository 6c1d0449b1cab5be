"""The interface of a format of exports."""

from __future__ import annotations

import abc
import dataclasses
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.features import Features
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What an export shows.

    Attributes:
      embedding: the column of embeddings; None for ``embedding``, or the only one.
      column: the column that colours patches, or of the scores; None for the format's own choice.
      scores: path or URI of a table of scores; None for none.
      limits: the lowest and highest value of the colours; None for those of the column.
    """

    embedding: str | None = None
    column: str | None = None
    scores: str | None = None
    limits: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Unit:
    """What becomes one file: a slide; or, of films, the rows of a shard.

    Attributes:
      name: name of the file, without an extension.
      item: the slide's row of ``slides.parquet``; None for films.
      rows: number of rows.
      features: length of an embedding.
      batches: the rows, in order: of a slide one batch.
    """

    name: str
    item: Mapping[str, Any] | None
    rows: int
    features: int
    batches: Iterator[Features]

    def slide(self) -> tuple[Mapping[str, Any], Features, npt.NDArray[np.int32]]:
        """Return a slide's row of ``slides.parquet``, its features, and its coordinates.

        Raises:
          ValueError: the unit has films.
        """
        (found,) = self.batches
        if self.item is None or found.coordinates is None:
            raise ValueError(f"{self.name} is no slide")
        return self.item, found, found.coordinates


class Exporter(abc.ABC):
    """Writes the files of one format.

    Attributes:
      films: whether the format can hold films; else it is for patches of slides alone.
      uses_colours: whether it reads `ExportSettings.column`, `scores` and `limits`.
      dataset: the dataset.
      settings: what to show.
    """

    films = True
    uses_colours = False

    def __init__(self, dataset: Dataset, settings: ExportSettings) -> None:
        self.dataset = dataset
        self.settings = settings

    @abc.abstractmethod
    def files(self, name: str) -> tuple[str, ...]:
        """Return the files of a unit, relative to the directory of the export."""

    @abc.abstractmethod
    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        """Write a unit to local paths, in the order of `files`."""

    def notes(self) -> list[tuple[str, str]]:
        """Return what to tell the user at the end, as (label, text)."""
        return []


def provenance(dataset: Dataset, column: str | None = None) -> dict[str, Any]:
    """Return where the embeddings of a column come from, for files that leave the dataset."""
    description = dataset.description
    model = dataset.model(column)
    return {
        "model": model.get("name"),
        "model_digest": model.get("digest"),
        "fingerprint": model.get("fingerprint", description.get("fingerprint")),
        "beamscope": description.get("versions", {}).get("beamscope"),
    }


def optional_package(name: str, extra: str = "export") -> Any:
    """Import a package of an extra.

    Raises:
      InputError: ``missing_package``: it is not installed; the message names the command.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            Kind.MISSING_PACKAGE,
            f"needs the package {name}, which is not installed: pip install 'beamscope[{extra}]'",
        ) from error


def without_maps(rows: pa.Table) -> pa.Table:
    """Return rows with maps and lists as JSON text, for formats of flat columns."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type):
            values = [
                None
                if value is None
                else json.dumps(dict(value) if pa.types.is_map(field.type) else value)
                for value in rows[field.name].to_pylist()
            ]
            rows = rows.set_column(place, field.name, pa.array(values, pa.string()))
    return rows
