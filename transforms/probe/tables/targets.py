"""Turn cells of a table into labels, by stated policies for what is uncertain or blank."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from beamscope.transforms.probe.target import Target, Task
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# What becomes of CheXpert's -1. The first three and the last are of its paper (Irvin et al. 2019).
UncertainPolicy = Literal["u_ignore", "u_zeros", "u_ones", "u_multiclass"]
UNCERTAIN_POLICIES: tuple[UncertainPolicy, ...] = get_args(UncertainPolicy)
BlankPolicy = Literal["leave_out", "absent"]
BLANK_POLICIES: tuple[BlankPolicy, ...] = get_args(BlankPolicy)
_UNCERTAIN = -1.0
# More different numbers than this are a quantity, not classes.
_MOST_CLASSES = 20
_EVENTS = {
    "1": 1, "1.0": 1, "true": 1, "yes": 1, "dead": 1, "deceased": 1, "event": 1,
    "0": 0, "0.0": 0, "false": 0, "no": 0, "alive": 0, "living": 0, "censored": 0,
    "1:deceased": 1, "0:living": 0,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Policy:
    """What becomes of labels that are uncertain or blank.

    Attributes:
      uncertain: of -1; None if there may be none.
      blank: of blank cells.
    """

    uncertain: UncertainPolicy | None = None
    blank: BlankPolicy = "leave_out"


def guess_task(cells: Sequence[Sequence[str | None]], *, survival: bool) -> Task:
    """Return the task that columns of labels look like.

    Args:
      cells: of each target column.
      survival: whether columns of time and event were named.
    """
    if survival:
        return "survival"
    if len(cells) > 1:
        return "multilabel"
    (only,) = cells
    numbers = [_number(cell) for cell in only if cell is not None]
    if any(number is None for number in numbers):
        return "classification"
    different = set(numbers)
    whole = all(number is not None and number.is_integer() for number in different)
    return "classification" if whole and len(different) <= _MOST_CLASSES else "regression"


def make_target(
    task: Task,
    names: Sequence[str],
    cells: Sequence[Sequence[str | None]],
    policy: Policy,
    classes: Sequence[str] | None = None,
) -> tuple[Target, list[int]]:
    """Return labels, and the places of the rows that have one.

    Args:
      task: what is predicted.
      names: the columns: one; several for labels; time and event for survival.
      cells: the cells of each column, of one length.
      policy: for what is uncertain or blank.
      classes: names of the classes of an earlier target; rows of other classes are left out.

    Raises:
      InputError: ``bad_labels``: a cell is not of the task's kind, nothing is labelled, there is
        one class alone, or a label is uncertain and there is no policy for it.
    """
    if task == "classification":
        target, kept = _classes(names[0], cells[0], policy, classes)
    elif task == "multilabel":
        target, kept = _labels(names, cells, policy)
    elif task == "regression":
        target, kept = _numbers(names[0], cells[0])
    else:
        target, kept = _survival(names, cells)
    if not kept:
        raise InputError(Kind.BAD_LABELS, f"--target {','.join(names)}: no row has a label")
    return target, kept


def _classes(
    name: str, cells: Sequence[str | None], policy: Policy, classes: Sequence[str] | None
) -> tuple[Target, list[int]]:
    found = [_class(name, cell, policy) for cell in cells]
    known = sorted({cell for cell in found if cell is not None}, key=_order)
    if classes is None and len(known) < 2:
        hint = "; --blank absent counts blank cells as class 0" if None in cells else ""
        raise InputError(
            Kind.BAD_LABELS,
            f"--target {name}: there is no second class beside {', '.join(known) or 'blank'}{hint}",
        )
    places = {label: place for place, label in enumerate(classes or known)}
    kept = [row for row, cell in enumerate(found) if cell is not None and cell in places]
    values = np.array([[places[str(found[row])]] for row in kept], np.float64).reshape(-1, 1)
    return Target("classification", values, tuple(places)), kept


def _class(name: str, cell: str | None, policy: Policy) -> str | None:
    if cell is None:
        return "0" if policy.blank == "absent" else None
    number = _number(cell)
    if number is None:
        return cell
    if number == _UNCERTAIN:
        uncertain = _required(name, policy)
        return {"u_ignore": None, "u_zeros": "0", "u_ones": "1", "u_multiclass": "uncertain"}[
            uncertain
        ]
    # 1 and 1.0 are one class.
    return f"{number:g}"


def _labels(
    names: Sequence[str], cells: Sequence[Sequence[str | None]], policy: Policy
) -> tuple[Target, list[int]]:
    if policy.uncertain == "u_multiclass":
        raise InputError(
            Kind.BAD_LABELS,
            "--uncertain u_multiclass: is for one --target, whose third class it makes",
        )
    values = np.full((len(cells[0]), len(names)), np.nan)
    for column, (name, some) in enumerate(zip(names, cells, strict=True)):
        for row, cell in enumerate(some):
            values[row, column] = _label(name, cell, policy)
    for name, column_values in zip(names, values.T, strict=True):
        if len(np.unique(column_values[~np.isnan(column_values)])) < 2:
            raise InputError(
                Kind.BAD_LABELS,
                f"--target {name}: it is never {'absent' if 1 in column_values else 'present'}; "
                "leave it out, or give --blank absent if blank cells mean absent",
            )
    kept = [int(row) for row in np.flatnonzero(~np.isnan(values).all(1))]
    return Target("multilabel", values[kept], tuple(names)), kept


def _label(name: str, cell: str | None, policy: Policy) -> float:
    if cell is None:
        return 0.0 if policy.blank == "absent" else np.nan
    number = _number(cell)
    if number in (0.0, 1.0):
        return float(number or 0)
    if number == _UNCERTAIN:
        return {"u_ignore": np.nan, "u_zeros": 0.0, "u_ones": 1.0}[_required(name, policy)]
    raise InputError(
        Kind.BAD_LABELS,
        f"--target {name}: of several labels each must be 1, 0, -1 or blank, got {cell!r}",
    )


def _required(name: str, policy: Policy) -> UncertainPolicy:
    if policy.uncertain is None:
        raise InputError(
            Kind.BAD_LABELS,
            f"--target {name}: it has uncertain labels (-1); say what they mean: --uncertain "
            + ", ".join(UNCERTAIN_POLICIES),
        )
    return policy.uncertain


def _numbers(name: str, cells: Sequence[str | None]) -> tuple[Target, list[int]]:
    kept = [row for row, cell in enumerate(cells) if cell is not None]
    values = [_finite(f"--target {name}", cells[row]) for row in kept]
    return Target("regression", np.array(values, np.float64).reshape(-1, 1)), kept


def _survival(
    names: Sequence[str], cells: Sequence[Sequence[str | None]]
) -> tuple[Target, list[int]]:
    (time_name, event_name), (times, events) = names, cells
    kept = [row for row in range(len(times)) if times[row] is not None and events[row] is not None]
    values = []
    for row in kept:
        time = _finite(f"--time {time_name}", times[row])
        event = _EVENTS.get(str(events[row]).lower().replace(" ", ""))
        if event is None:
            raise InputError(
                Kind.BAD_LABELS,
                f"--event {event_name}: must be 1 (event) or 0 (censored), got {events[row]!r}",
            )
        if time <= 0:
            raise InputError(
                Kind.BAD_LABELS, f"--time {time_name}: must be above 0, got {times[row]}"
            )
        values.append((time, event))
    target = Target("survival", np.array(values, np.float64).reshape(-1, 2))
    if kept and not target.values[:, 1].any():
        raise InputError(Kind.BAD_LABELS, f"--event {event_name}: there is no event")
    return target, kept


def _finite(flag: str, cell: str | None) -> float:
    number = _number(cell)
    if number is None or not np.isfinite(number):
        raise InputError(Kind.BAD_LABELS, f"{flag}: must be a number, got {cell!r}")
    return number


def _number(cell: str | None) -> float | None:
    try:
        return float(cell) if cell is not None else None
    except ValueError:
        return None


def _order(label: str) -> tuple[int, float, str]:
    """Sort numbers by value, and before other labels."""
    number = _number(label)
    return (1, 0.0, label) if number is None else (0, number, label)
