"""Parse command lines; report a mistake in one line before anything runs."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NoReturn

from beamscope.pipelines.options.suggestions import suggest
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.uris import is_local, normalize


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises InputError and accepts no abbreviated flags.

    A parser with many flags names those that everyone needs: ``--help`` shows these and the
    examples, ``--help_all`` shows all. Only this class uses private names of argparse.

    Args:
      essential: names of the flags that ``--help`` shows, without dashes; empty for all.
      examples: command lines that ``--help`` shows.
      more: arguments of `ArgumentParser`.
    """

    def __init__(
        self, *, essential: Collection[str] = (), examples: Sequence[str] = (), **more: Any
    ) -> None:
        self._essential = frozenset(essential)
        self._examples = tuple(examples)
        super().__init__(allow_abbrev=False, **more)
        if self._essential:
            self.add_argument(
                "--help_all", action=_HelpAll, nargs=0, help="show every flag and exit"
            )

    def error(self, message: str) -> NoReturn:
        """Raise InputError (``bad_option``) instead of printing the usage and exiting."""
        raise InputError(Kind.BAD_OPTION, message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse a command line.

        Raises:
          InputError: ``unknown_flag`` with the most similar flag, or ``bad_option``.
        """
        if args is not None:
            check_flags(args, self.flags(), command=self.prog)
        return super().parse_args(args, namespace)

    def format_help(self) -> str:
        """Return the help that ``--help`` shows."""
        if not self._essential:
            return super().format_help() + self._shown_examples()
        hidden = [one for one in self._actions if one.dest not in {"help", *self._essential}]
        count = sum(one.dest not in ("help", "help_all") for one in self._actions)
        with self._short_usage(), _without_help(hidden):
            self.epilog, kept = None, self.epilog
            text = super().format_help()
            self.epilog = kept
        return (
            f"{text}{self._shown_examples()}\n`{self.prog} --help_all` shows all {count} flags.\n"
        )

    def format_help_all(self) -> str:
        """Return the help of every flag."""
        with self._short_usage():
            return super().format_help() + self._shown_examples()

    def actions(self) -> list[argparse.Action]:
        """Return the argparse action of every flag that is a setting: not those of the help."""
        return [action for action in self._actions if action.dest not in ("help", "help_all")]

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

    def _shown_examples(self) -> str:
        if not self._examples:
            return ""
        lines = "\n".join(f"  {line}" for one in self._examples for line in one.splitlines())
        return f"\n{'examples' if len(self._examples) > 1 else 'example'}:\n{lines}\n"

    @contextlib.contextmanager
    def _short_usage(self) -> Iterator[None]:
        """Let the usage name only what must be given."""
        kept = self.usage
        choices = self.required_choices()
        in_choice = {name for names in choices for name in names}
        needed = [
            "(" + " | ".join(map(self._shown, names)) + ")" if len(names) > 1 else names[0]
            for names in choices
        ]
        needed += [
            self._shown(one.dest)
            for one in self._actions
            if one.required and one.dest not in in_choice
        ]
        self.usage = " ".join(["%(prog)s", *needed, "[more flags]"])
        try:
            yield
        finally:
            self.usage = kept

    def _shown(self, name: str) -> str:
        action = next(one for one in self._actions if one.dest == name)
        value = action.metavar or name.upper()
        more = " ..." if action.nargs == "+" else ""
        flag = f"{action.option_strings[0]} " if action.option_strings else ""
        return f"{flag}{value}{more}"


class _HelpAll(argparse.Action):
    """Print the help of every flag, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, Parser)
        print(parser.format_help_all(), end="")
        parser.exit()


@contextlib.contextmanager
def _without_help(actions: Collection[argparse.Action]) -> Iterator[None]:
    kept = [action.help for action in actions]
    for action in actions:
        action.help = argparse.SUPPRESS
    try:
        yield
    finally:
        for action, text in zip(actions, kept, strict=True):
            action.help = text


def place(flag: str, *, local: bool = False) -> Callable[[str], str]:
    """Return an argparse type for a path or URI, which applies `normalize`.

    Args:
      flag: the flag's name, for the message.
      local: whether the path must be on this machine.

    Raises:
      InputError: the type raises ``unknown_scheme``, ``not_local``, or ``bad_option`` for nothing;
        the message names the flag.
    """

    def convert(text: str) -> str:
        if not text.strip():
            raise InputError(
                Kind.BAD_OPTION, f"{flag}: is empty: has a variable of the shell no value?"
            )
        try:
            path = normalize(text)
        except InputError as error:
            raise InputError(error.kind, f"{flag} {error.message}") from error
        if local and not is_local(path):
            raise InputError(Kind.NOT_LOCAL, f"{flag} {text}: must be a path on this machine")
        return path

    return convert


def check_flags(
    arguments: Sequence[str],
    own: Collection[str],
    others: Collection[str] = (),
    *,
    command: str = "",
) -> None:
    """Refuse the first unknown flag, and name the known flag that is most likely meant.

    Args:
      arguments: the command line.
      own: flags of the command.
      others: flags of Beam.
      command: the command, whose help is named where no flag is similar.

    Raises:
      InputError: ``unknown_flag``.
    """
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if not name.startswith("--") or name == "--" or name in own or name in others:
            continue
        if not value and place + 1 < len(arguments) and not arguments[place + 1].startswith("-"):
            value = arguments[place + 1]
        hint = ""
        if near := suggest(name, own, others):
            hint = f"; did you mean {near}?"
        elif command:
            hint = f"; `{command} --help{'_all' if '--help_all' in own else ''}` lists the flags"
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
