"""Metrics of the order of scores: the area under the ROC curve, and the concordance index.

Models of different folds may score on different scales. So only pairs of one fold are compared: a
value is the number of well-ordered pairs of all folds divided by the number of pairs.
"""

from __future__ import annotations

import numpy as np

from beamscope.transforms.probe.arrays import Floats, Ints

# Columns of the matrix of pairs that are in memory at a time.
_PAIRS_AT_ONCE = 512


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, NaN where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def auc(positive: Floats, scores: Floats, folds: Ints, weights: Floats) -> Floats:
    """Return the area under the ROC curve: the share of well-ordered pairs, ties by half.

    Args:
      positive: ``[n]``, 1 or 0; NaN where unknown, which is left out.
      scores: ``[n]``.
      folds: ``[n]``.
      weights: ``[B, n]``.

    Returns:
      ``[B]``; NaN if no fold has both classes.
    """
    ordered, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    known = ~np.isnan(positive)
    for fold in np.unique(folds):
        of_fold = np.flatnonzero(known & (folds == fold))
        order = of_fold[np.argsort(scores[of_fold], kind="stable")]
        if not len(order):
            continue
        starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) != 0)
        some = weights[:, order]
        of_positives = np.add.reduceat(some * positive[order], starts, axis=1)
        of_negatives = np.add.reduceat(some * (1 - positive[order]), starts, axis=1)
        below = np.cumsum(of_negatives, axis=1) - of_negatives
        ordered += (of_positives * (below + of_negatives / 2)).sum(1)
        pairs += of_positives.sum(1) * of_negatives.sum(1)
    return ratio(ordered, pairs)


def concordance(
    times: Floats, events: Floats, risks: Floats, folds: Ints, weights: Floats
) -> Floats:
    """Return Harrell's concordance index (Harrell et al. 1982), ties of risk by half.

    A pair counts if the one with the shorter time had its event; of two equal times, if one of them
    had its event and the other is censored.

    Args:
      times: ``[n]``.
      events: ``[n]``, 1 for an event, 0 for a censored time.
      risks: ``[n]``; a higher one says an earlier event.
      folds: ``[n]``.
      weights: ``[B, n]``.
    """
    ordered, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        time, event, risk = times[rows], events[rows] == 1, risks[rows]
        some = weights[:, rows]
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            late = slice(start, start + _PAIRS_AT_ONCE)
            longer = (time[:, None] < time[late]) | ((time[:, None] == time[late]) & ~event[late])
            comparable = (event[:, None] & longer).astype(np.float64)
            right = comparable * ((risk[:, None] > risk[late]) + (risk[:, None] == risk[late]) / 2)
            pairs += ((some @ comparable) * some[:, late]).sum(1)
            ordered += ((some @ right) * some[:, late]).sum(1)
    return ratio(ordered, pairs)
