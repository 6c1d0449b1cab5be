"""All that a run has found, for the files that it writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from beamscope.transforms.probe.splits.folds import Fold
from beamscope.transforms.probe.study import Comparison, Result
from beamscope.transforms.probe.units import Units


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """Results of a run.

    Attributes:
      units: labelled units in distribution, then of each other dataset.
      folds: places of the units that train and test.
      results: of each model.
      comparisons: of each pair of models.
      datasets: names of the datasets in distribution.
      settings: the settings, as JSON values.
      columns: columns of the labels that were used, by dataset.
      notes: what was assumed or left out, a sentence each.
    """

    units: tuple[Units, ...]
    folds: Sequence[Fold]
    results: Sequence[Result]
    comparisons: Sequence[Comparison]
    datasets: Sequence[str]
    settings: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, str]]
    notes: Sequence[str]
