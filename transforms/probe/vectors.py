"""Gather what models see of units: the mean of their embeddings, or a sample of each unit's rows.

A dataset is read once, batch by batch. So memory holds one vector a unit, or the sampled rows, and
not the dataset.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.bags import Bags
from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.units import Units


def mean_vectors(
    rows: DatasetRows, column: str, of_rows: Ints, units: int
) -> npt.NDArray[np.float32]:
    """Return the mean embedding of each unit, float32 ``[units, D]``.

    Args:
      rows: the dataset.
      column: its column of embeddings.
      of_rows: unit of each row, -1 for none.
      units: number of units; each has a row.
    """
    sums = np.zeros((units, rows.features(column)), np.float32)
    for start, embeddings in rows.batches(column):
        of_batch = of_rows[start : start + len(embeddings)]
        wanted = of_batch >= 0
        if not wanted.any():
            continue
        # A unit's rows lie together: add each run in float64, then one sum to the unit.
        own = of_batch[wanted]
        runs = np.flatnonzero(np.diff(own, prepend=-1))
        of_runs = np.add.reduceat(embeddings[wanted], runs, axis=0, dtype=np.float64)
        np.add.at(sums, own[runs], of_runs.astype(np.float32))
    counts = np.bincount(of_rows[of_rows >= 0], minlength=units)
    sums /= counts[:, None].astype(np.float32)
    return sums


def sampled_bags(
    rows: DatasetRows, column: str, of_rows: Ints, units: int, most: int, seed: int
) -> Bags:
    """Return the embeddings of each unit's rows, a random sample of units with more than `most`.

    Args:
      rows: the dataset.
      column: its column of embeddings.
      of_rows: unit of each row, -1 for none.
      units: number of units; each has a row.
      most: largest number of rows of a unit.
      seed: of the sample.
    """
    random = np.random.default_rng(seed)
    order = np.argsort(of_rows, kind="stable")
    bounds = np.searchsorted(of_rows[order], np.arange(units + 1))
    taken = []
    for unit in range(units):
        own = order[bounds[unit] : bounds[unit + 1]]
        if len(own) > most:
            own = np.sort(random.choice(own, most, replace=False))
        taken.append(own)
    counts = np.array([len(own) for own in taken], np.int64)
    # Place of each sampled row among the bags; the dataset is read in its own order.
    place = np.full(len(of_rows), -1, np.int64)
    place[np.concatenate(taken)] = np.arange(counts.sum())
    patches = np.empty((int(counts.sum()), rows.features(column)), np.float32)
    for start, embeddings in rows.batches(column):
        of_batch = place[start : start + len(embeddings)]
        wanted = np.flatnonzero(of_batch >= 0)
        patches[of_batch[wanted]] = embeddings[wanted]
    return Bags(patches, np.cumsum(counts) - counts, counts)


def sample_patients(
    units: Units, vectors: int, bytes_each: int, most_bytes: float, seed: int
) -> Ints:
    """Return the units that fit into memory: all, or those of a random sample of patients.

    Args:
      units: the units.
      vectors: number of vectors that all units have together.
      bytes_each: size of a vector in memory with its copies.
      most_bytes: of memory.
      seed: of the sample.
    """
    share = most_bytes / max(1, vectors * bytes_each)
    if share >= 1:
        return np.arange(len(units))
    patients = np.random.default_rng(seed).permutation(np.unique(units.groups))
    kept = patients[: max(1, int(share * len(patients)))]
    return np.flatnonzero(np.isin(units.groups, kept))
