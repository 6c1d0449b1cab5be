"""Patches as coloured GeoJSON objects for QuPath: a heatmap of a column or of scores.

The properties are those that QuPath's reader takes (objectType, color, classification,
measurements); its coordinates are level-0 pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.export.base import Exporter, ExportSettings, Unit
from beamscope.transforms.export.colours import NO_VALUE, number_colours, word_colours
from beamscope.transforms.export.scores import KEYS, Scores, values_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_DEFAULT_COLUMN = "tissue"


class GeojsonExporter(Exporter):
    """Writes ``SLIDE.geojson``. The colours mean the same on all slides."""

    films = False
    uses_colours = True

    def __init__(self, dataset: Dataset, settings: ExportSettings) -> None:
        super().__init__(dataset, settings)
        self._scores = (
            None if settings.scores is None else Scores(settings.scores, settings.column, dataset)
        )
        self._column = (
            self._scores.column if self._scores else _own_column(dataset, settings.column)
        )
        values = self._scores.values if self._scores else _all_values(dataset, self._column)
        self._words = values.dtype == object
        self._palette: dict[str, tuple[int, int, int]] = {}
        self._low, self._high = 0.0, 1.0
        if self._words:
            if settings.limits is not None:
                raise InputError(
                    Kind.BAD_OPTION, f"--range: {self._column} has words, which have no range"
                )
            self._palette = word_colours(sorted({word for word in values if word is not None}))
        else:
            self._low, self._high = settings.limits or _extremes(values)
        self._missing = 0

    def files(self, name: str) -> tuple[str, ...]:
        """Return the file of a slide."""
        return (f"{name}.geojson",)

    def write(self, unit: Unit, paths: Sequence[Path]) -> None:
        """Write a slide, an object a line."""
        item, found, coordinates = unit.slide()
        values = (
            self._scores.of(item["slide_id"], coordinates)
            if self._scores
            else values_of(found.rows[self._column])
        )
        sizes = found.rows["size_level0"].to_pylist()
        properties = self._of_words(values) if self._words else self._of_numbers(values)
        with paths[0].open("w", encoding="utf-8") as file:
            file.write('{"type": "FeatureCollection", "features": [\n')
            for index, (x, y) in enumerate(coordinates.tolist()):
                file.write(",\n" if index else "")
                file.write(json.dumps(_square(x, y, sizes[index], properties[index])))
            file.write("\n]}\n")

    def notes(self) -> list[tuple[str, str]]:
        """Return what the colours mean, and how many patches have none."""
        if self._words:
            told = [("colours", f"{self._column}: {', '.join(self._palette) or 'no value'}")]
        else:
            told = [
                ("colours", f"{self._column} from {self._low:g} (dark) to {self._high:g} (bright)")
            ]
        if self._missing:
            told.append(("", f"{self._missing:,} patches have no {self._column}, and are grey"))
        if self._scores and self._scores.other_slides:
            count = self._scores.other_slides
            told.append(("", f"--scores has {count:,} more slides, which the dataset has not"))
        return told

    def _of_numbers(self, values: npt.NDArray[Any]) -> list[dict[str, Any]]:
        numbers = values.astype(np.float64)
        self._missing += int(np.isnan(numbers).sum())
        colours = number_colours(numbers, self._low, self._high).tolist()
        return [
            {"color": colour}
            | ({} if math.isnan(number) else {"measurements": {self._column: number}})
            for colour, number in zip(colours, numbers.tolist(), strict=True)
        ]

    def _of_words(self, values: npt.NDArray[Any]) -> list[dict[str, Any]]:
        self._missing += sum(word is None for word in values)
        return [
            {"color": NO_VALUE}
            if word is None
            else {"classification": {"name": word, "color": self._palette[word]}}
            for word in values
        ]


def _square(x: int, y: int, size: int, properties: dict[str, Any]) -> dict[str, Any]:
    ring = [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "detection", **properties},
    }


def _own_column(dataset: Dataset, column: str | None) -> str:
    usable = [name for name in dataset.columns if name not in (*KEYS, *dataset.embedding_columns)]
    if column is None:
        return _DEFAULT_COLUMN
    if column not in usable:
        raise InputError(
            Kind.UNKNOWN_COLUMN,
            f"--column {column}: the dataset has no such column to colour by; it has "
            f"{', '.join(usable)}",
        )
    return column


def _all_values(dataset: Dataset, column: str) -> npt.NDArray[Any]:
    """Return the different values of a column of the whole dataset."""
    seen: set[Any] = set()
    for table in dataset.tables([column]):
        seen.update(table[column].unique().to_pylist())
    numbers = [value for value in seen if isinstance(value, int | float)]
    if numbers:
        return np.array(numbers, np.float64)
    return np.array(sorted(value for value in seen if value is not None), dtype=object)


def _extremes(values: npt.NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
