"""Flags that let a start do a part of a job's work only."""

from __future__ import annotations

import argparse
import dataclasses
import enum
from collections.abc import Sequence

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
    """

    only: Only | None = None

    @property
    def embeds(self) -> bool:
        """Return whether items are planned and embedded."""
        return self.only != Only.ASSEMBLE

    @property
    def assembles(self) -> bool:
        """Return whether the dataset is written."""
        return self.only != Only.EMBED


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


def extent_from(args: argparse.Namespace) -> Extent:
    """Return how much a start does, from the flags.

    Raises:
      InputError: ``bad_option``: flags contradict each other.
    """
    extent = Extent(Only(args.only) if args.only else None)
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
