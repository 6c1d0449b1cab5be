"""Write a vector of each slide beside the tables of a dataset: ``slide_embeddings.parquet``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.formats.parquet import write_table
from beamscope.transforms.output.schema import embedding_schema, to_record_batch
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slide_vectors.bag_models import BagModel
from beamscope.transforms.storage import files

NAME = "slide_embeddings.parquet"
ROW_SCHEMA = pa.schema([
    pa.field("slide_id", pa.string(), nullable=False),
    pa.field("patches", pa.int64(), nullable=False),
])  # fmt: skip
# The moment at which the dataset was finished whose slides have vectors in the file.
_OF = b"beamscope.dataset"


def write_slide_vectors(
    dataset: Dataset,
    column: str,
    model: BagModel,
    metadata: Mapping[str, str],
    done: Callable[[], object] = lambda: None,
) -> tuple[int, list[str]]:
    """Write the vector of every slide that has embeddings; one slide is in memory at a time.

    Args:
      dataset: a dataset of slides.
      column: its column of embeddings.
      model: makes a vector of a bag.
      metadata: of the file, such as the digest of the model.
      done: called after each slide.

    Returns:
      the length of a vector, and the slides that were left out because their vector is not finite.

    Raises:
      InputError: ``bad_model`` if vectors differ in length, or none is finite.
    """
    ids: list[str] = []
    counts: list[int] = []
    vectors: list[np.ndarray] = []
    left_out: list[str] = []
    for slide_id, found in dataset.iter_slides(column=column):
        assert found.coordinates is not None, "slides have coordinates"
        vector = np.asarray(model(found.embeddings, found.coordinates), np.float32)
        if vectors and len(vector) != len(vectors[0]):
            raise InputError(
                Kind.BAD_MODEL,
                f"--model: the vector of {slide_id} has {len(vector)} numbers, that of {ids[0]} "
                f"{len(vectors[0])}",
            )
        done()
        if not np.isfinite(vector).all():
            left_out.append(slide_id)
            continue
        ids.append(slide_id)
        counts.append(len(found.embeddings))
        vectors.append(vector)
    if not vectors:
        raise InputError(Kind.BAD_MODEL, f"{dataset.root}: no slide has a finite vector")
    rows = pa.RecordBatch.from_arrays(
        [pa.array(ids), pa.array(counts, pa.int64())], schema=ROW_SCHEMA
    )
    more = {**metadata, _OF.decode(): moment_of(dataset)}
    schema = embedding_schema(ROW_SCHEMA, len(vectors[0]), metadata=more)
    table = pa.Table.from_batches([to_record_batch(rows, np.stack(vectors), schema)])
    write_table(files.join(dataset.root, NAME), table)
    return len(vectors[0]), left_out


def moment_of(dataset: Dataset) -> str:
    """Return when a dataset was finished; a file of vectors of another moment is out of date."""
    return str(dataset.description.get("finished", ""))


def is_out_of_date(dataset: Dataset, schema: pa.Schema) -> bool:
    """Return whether a file of vectors was made of another state of its dataset."""
    return (schema.metadata or {}).get(_OF, b"").decode() != moment_of(dataset)
