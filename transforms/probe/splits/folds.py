"""Folds that keep a patient on one side and spread the classes evenly."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from beamscope.transforms.probe.arrays import Ints
from beamscope.transforms.probe.target import Target
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """A fold: places of the units that train, and of those that test."""

    train: Ints
    test: Ints


def make_folds(target: Target, groups: Ints, folds: int, seed: int) -> list[Fold]:
    """Return folds in which each unit tests once, grouped by patient and stratified.

    Args:
      target: labels of the units.
      groups: patient of each unit.
      folds: number of folds.
      seed: of the shuffle.

    Raises:
      InputError: ``bad_option`` if there are too few patients, or a class has fewer patients than
        there are folds.
    """
    strata = target.strata()
    scarce = fewest_groups(strata, groups)
    if target.task in ("classification", "survival") and scarce < folds:
        noun = "the rarest class" if target.task == "classification" else "an outcome"
        raise InputError(
            Kind.BAD_OPTION,
            f"--folds {folds}: {noun} occurs in only {scarce} patients or groups; "
            + (f"give --folds {scarce}, or fewer" if scarce > 1 else "it needs two or more"),
        )
    if len(np.unique(groups)) < folds:
        raise InputError(
            Kind.BAD_OPTION, f"--folds {folds}: there are only {len(np.unique(groups))} patients"
        )
    return stratified_group_folds(strata, groups, folds, seed)


def stratified_group_folds(strata: Ints, groups: Ints, folds: int, seed: int) -> list[Fold]:
    """Return scikit-learn's stratified grouped folds, shuffled by a seed."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Of strata with fewer units than folds; classes have been checked before.
        warnings.simplefilter("ignore", UserWarning)
        return [
            Fold(train.astype(np.int64), test.astype(np.int64))
            for train, test in splitter.split(np.empty(len(strata)), strata, groups)
        ]


def fewest_groups(strata: Ints, groups: Ints) -> int:
    """Return the number of patients of the stratum that has the fewest."""
    return min(len(np.unique(groups[strata == one])) for one in np.unique(strata))
