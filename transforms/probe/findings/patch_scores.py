"""Scores of the patches of slides, for heatmaps: `beamscope export --to geojson --scores`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from beamscope.transforms.formats.columns import as_matrix
from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.findings.tables import score_names
from beamscope.transforms.probe.learners.attention import FittedAttention
from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.study import Result
from beamscope.transforms.probe.units import Units
from beamscope.transforms.storage import files

_COORDINATES = ["slide_id", "x_level0", "y_level0"]


def write_patch_scores(
    path: str, rows: DatasetRows, column: str, of_rows: Ints, units: Units, result: Result
) -> int:
    """Write the score of each patch of the units that were tested, and return the number of rows.

    A patch is scored by the model of the first fold that tests its unit, which has not seen it.
    The columns are slide_id, x_level0, y_level0, fold, the scores, and of attention models
    ``attention``, before the softmax over the slide.

    Args:
      path: of the CSV.
      rows: the dataset, of slides.
      column: its column of embeddings.
      of_rows: unit of each row, -1 for none.
      units: the units.
      result: the models of the folds.
    """
    fold_of = np.full(len(units) + 1, -1, np.int64)
    predictions = result.on[0].predictions
    fold_of[predictions.units[::-1]] = predictions.folds[::-1]
    fold_of[-1] = -1
    target = units.target
    names = score_names(target.task, target.classes)
    attends = isinstance(result.fitted[0], FittedAttention)
    schema = pa.schema([
        pa.field("slide_id", pa.string()), pa.field("x_level0", pa.int32()),
        pa.field("y_level0", pa.int32()), pa.field("fold", pa.int64()),
        *(pa.field(name, pa.float32()) for name in [*names, *(["attention"] if attends else [])]),
    ])  # fmt: skip
    written = 0
    with files.atomic_path(path) as temporary, arrow_csv.CSVWriter(temporary, schema) as writer:
        for start, batch in rows.record_batches([*_COORDINATES, column]):
            folds = fold_of[of_rows[start : start + batch.num_rows]]
            matrix = as_matrix(batch.column(batch.schema.get_field_index(column)))
            for fold in np.unique(folds[folds >= 0]):
                wanted = np.flatnonzero(folds == fold)
                scores = _scores(result, int(fold), matrix[wanted])
                some = batch.select(_COORDINATES).take(pa.array(wanted))
                columns = [*some.columns, pa.array(np.full(len(wanted), fold)),
                           *(pa.array(one.astype(np.float32)) for one in scores.T)]  # fmt: skip
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
                written += len(wanted)
    return written


def _scores(result: Result, fold: int, patches: npt.NDArray[np.floating]) -> Floats:
    """Return the scores of patches, and of attention models their attention after them."""
    fitted = result.fitted[fold]
    if isinstance(fitted, FittedAttention):
        scores, attention = fitted.patch_scores(patches)
        return np.concatenate([scores, attention[:, None]], axis=1)
    return fitted.scores(patches)
