"""Parse command lines; report a mistake in one line before anything runs."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.uris import is_local, normalize


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises InputError and accepts no abbreviated flags.

    Only this class uses private names of argparse.
    """

    def __init__(self, **more: object) -> None:
        super().__init__(allow_abbrev=False, **more)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise InputError (``bad_option``) instead of printing the usage and exiting."""
        raise InputError(Kind.BAD_OPTION, message)

    def actions(self) -> list[argparse.Action]:
        """Return the argparse action of every flag."""
        return list(self._actions)

    def flags(self) -> set[str]:
        """Return the name of every flag, with its dashes."""
        return {flag for action in self._actions for flag in action.option_strings}

    def required_choices(self) -> list[list[str]]:
        """Return lists of flag names; the user must give exactly one flag of each list."""
        return [
            [action.dest for action in group._group_actions]
            for group in self._mutually_exclusive_groups
            if group.required
        ]


def place(flag: str, *, local: bool = False) -> Callable[[str], str]:
    """Return an argparse type for a path or URI, which applies `normalize`.

    Args:
      flag: the flag's name, for the message.
      local: whether the path must be on this machine.

    Raises:
      InputError: the type raises ``unknown_scheme`` or ``not_local``; the message names the flag.
    """

    def convert(text: str) -> str:
        try:
            path = normalize(text)
        except InputError as error:
            raise InputError(error.kind, f"{flag} {error.message}") from error
        if local and not is_local(path):
            raise InputError(Kind.NOT_LOCAL, f"{flag} {text}: must be a path on this machine")
        return path

    return convert


def check_flags(arguments: Sequence[str], known: Collection[str]) -> None:
    """Refuse the first unknown flag, and name the most similar known flag.

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


def check_range(flag: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside its range.

    Raises:
      InputError: ``bad_option``, such as ``--stride must be between 1 and 65536, got 0``.
    """
    if not low <= value <= high:
        raise InputError(
            Kind.BAD_OPTION,
            f"{flag} must be between {_number(low)} and {_number(high)}, got {_number(value)}",
        )


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
