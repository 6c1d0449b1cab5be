"""Flags that let a start do a part of a job's work only."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import os
import re
from collections.abc import Mapping, Sequence

from beamscope.transforms.output.share import Share
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


class Only(enum.StrEnum):
    """What a start does alone."""

    EMBED = "embed"
    ASSEMBLE = "assemble"


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much of a job one start does.

    Attributes:
      only: what it does alone; None for all that is left to do.
      share: of the items and blocks that it embeds; None for all of them.
    """

    only: Only | None = None
    share: Share | None = None

    @property
    def embeds(self) -> bool:
        """Return whether items are planned and embedded."""
        return self.only != Only.ASSEMBLE

    @property
    def assembles(self) -> bool:
        """Return whether the dataset is written."""
        return self.only != Only.EMBED and self.share is None


def add_extent_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every job has for its extent."""
    group = parser.add_argument_group("to do a part of the work")
    group.add_argument(
        "--only",
        choices=[one.value for one in Only],
        help="embed: plan what has no plan and embed, but do not write the dataset; assemble: "
        "write the dataset of what is embedded, without model and GPU (--model is not needed); "
        "the command without this flag does all that is left",
    )
    group.add_argument(
        "--part",
        metavar="I/N",
        help="embed the I-th of N shares, counted from 1, and do not write the dataset: for N "
        "tasks with the same other flags, such as a Slurm array; a hash of names decides what is "
        "in a share. auto: from the array's variables; auto/N: from JOB_COMPLETION_INDEX of "
        "Kubernetes",
    )


def extent_from(args: argparse.Namespace) -> Extent:
    """Return how much a start does, from the flags.

    Raises:
      InputError: ``bad_option``: flags contradict each other.
    """
    share = share_from(args.part, os.environ) if args.part else None
    extent = Extent(Only(args.only) if args.only else None, share)
    if share is not None:
        _check_with_part(args)
    if not extent.embeds and args.overwrite:
        raise InputError(
            Kind.BAD_OPTION,
            "--overwrite: deletes what --only assemble would assemble; give one of them",
        )
    return extent


def needs_model(arguments: Sequence[str]) -> bool:
    """Return whether a command line must name a model: one that only assembles need not."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # Any value: a wrong one is refused by the parser of the job.
    parser.add_argument("--only", nargs="?")
    return parser.parse_known_args(list(arguments))[0].only != Only.ASSEMBLE


def share_from(text: str, environment: Mapping[str, str]) -> Share:
    """Return the share that the value of ``--part`` names.

    Args:
      text: ``I/N`` with I from 1, ``auto`` or ``auto/N``.
      environment: variables of the process.

    Raises:
      InputError: ``bad_option``.
    """
    if found := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text):
        number, count = int(found[1]), int(found[2])
        if not 1 <= number <= count:
            raise _refused(text, "parts are counted from 1, so I/N goes from 1/N to N/N")
        return Share(number, count)
    found = re.fullmatch(r"auto(?:/(\d{1,9}))?", text)
    if found is None:
        raise _refused(text, "must be I/N with I from 1 to N, such as 2/16, or auto, or auto/N")
    given = int(found[1]) if found[1] else None
    if "SLURM_ARRAY_TASK_ID" in environment:
        return _slurm_share(text, given, environment)
    if "JOB_COMPLETION_INDEX" in environment:
        return _kubernetes_share(text, given, environment)
    raise _refused(
        text,
        "neither SLURM_ARRAY_TASK_ID (sbatch --array) nor JOB_COMPLETION_INDEX (an indexed Job of "
        "Kubernetes) is set; give I/N",
    )


def _slurm_share(text: str, given: int | None, environment: Mapping[str, str]) -> Share:
    names = ("ID", "COUNT", "MIN", "MAX")
    try:
        task, count, first, last = (int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in names)
        step = int(environment.get("SLURM_ARRAY_TASK_STEP") or 1)
    except (KeyError, ValueError):
        raise _refused(
            text, "SLURM_ARRAY_TASK_ID is set, but not _COUNT, _MIN and _MAX beside it; give I/N"
        ) from None
    place, rest = divmod(task - first, max(1, step))
    # A list of indices, such as 3,7,8, has no place that could be told from these.
    if rest or not 0 <= place < count or first + (count - 1) * step != last:
        raise _refused(
            text,
            f"the {count} indices of this array, {first} to {last}, have gaps, so that the place "
            f"of {task} is not known; use an array such as 0-{count - 1}, or give I/N",
        )
    if given is not None and given != count:
        raise _refused(text, f"the array has {count} tasks, not {given}; give auto, or I/N")
    return Share(place + 1, count)


def _kubernetes_share(text: str, given: int | None, environment: Mapping[str, str]) -> Share:
    if given is None:
        raise _refused(
            text,
            "JOB_COMPLETION_INDEX is set, but Kubernetes does not say the number of tasks; give "
            "auto/N with the completions of the Job",
        )
    index = environment["JOB_COMPLETION_INDEX"]
    if not index.isdecimal() or not int(index) < given:
        raise _refused(text, f"JOB_COMPLETION_INDEX is {index}, which is not from 0 to {given - 1}")
    return Share(int(index) + 1, given)


def _check_with_part(args: argparse.Namespace) -> None:
    if args.only == Only.ASSEMBLE:
        raise _refused(
            args.part, "embeds, and --only assemble is for all parts together; leave one out"
        )
    if args.overwrite:
        raise _refused(
            args.part,
            "--overwrite would delete what the other parts have embedded; delete the output first, "
            "or choose another",
        )


def _refused(text: str, reason: str) -> InputError:
    return InputError(Kind.BAD_OPTION, f"--part {text}: {reason}")
