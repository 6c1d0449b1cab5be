"""Parsing command lines so that what is wrong is said in one line, before anything runs."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection, Sequence
from typing import NoReturn

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises InputError, and takes no abbreviated flags."""

    def __init__(self, **more: object) -> None:
        super().__init__(allow_abbrev=False, **more)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raises InputError (``bad_option``) in place of printing the usage and exiting."""
        raise InputError(Kind.BAD_OPTION, message)

    def flags(self) -> set[str]:
        """Every flag, with its dashes."""
        return {flag for action in self._actions for flag in action.option_strings}


def check_flags(arguments: Sequence[str], known: Collection[str]) -> None:
    """Refuses the first flag that nobody knows, and names the nearest that somebody does.

    Raises:
      InputError: ``unknown_flag``.
    """
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if not name.startswith("--") or name in known:
            continue
        if not value and place + 1 < len(arguments) and not arguments[place + 1].startswith("-"):
            value = arguments[place + 1]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(Kind.UNKNOWN_FLAG, f"{f'{name} {value}'.rstrip()}: unknown flag{hint}")
