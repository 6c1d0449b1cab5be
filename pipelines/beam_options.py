"""Beam's own options and the files in runner_configs/: every name is checked, none is dropped."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.problems import InputError, one_line

CONFIGS = Path(__file__).resolve().parent.parent / "runner_configs"

# Named in full, because Beam's "DirectRunner" means another runner from one machine to the next.
DEFAULT_CONFIG = "direct"


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that says where a job runs."""
    group = parser.add_argument_group("where it runs")
    group.add_argument(
        "--runner_config",
        metavar="NAME|FILE",
        help="a file of runner_configs/ by name, or any such YAML file; what is given on the "
        f"command line overrides it (default: {DEFAULT_CONFIG}, unless --runner is given; "
        f"there are: {', '.join(config_names())})",
    )


def config_names() -> list[str]:
    """The names of the runner configs that come with beamscope."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def parse_beam_options(
    unparsed: Sequence[str], runner_config: str | None, own_flags: Iterable[str]
) -> PipelineOptions:
    """Makes Beam's options from a runner config and the rest of a command line.

    Args:
      unparsed: the arguments that are not flags of the job itself.
      runner_config: name or file of a runner config; None for the default.
      own_flags: the job's own flags, to suggest from.

    Raises:
      InputError: ``unknown_flag`` with the nearest known one, or ``bad_config``.
    """
    parser = _beam_parser()
    known = {flag for action in parser._actions for flag in action.option_strings}
    _, unknown = parser.parse_known_args(list(unparsed))
    if unknown:
        raise _unknown_flag(unknown, known | set(own_flags))
    from_config: list[str] = []
    if runner_config or not any(arg.split("=")[0] == "--runner" for arg in unparsed):
        from_config = _config_arguments(runner_config or DEFAULT_CONFIG, known, parser)
    return PipelineOptions([*from_config, *unparsed])


def _beam_parser() -> argparse.ArgumentParser:
    """A parser of every option that Beam knows; an unreadable value is an InputError."""
    parser = _Parser(allow_abbrev=False, add_help=False)
    for options in {str(cls): cls for cls in PipelineOptions.__subclasses__()}.values():
        options._add_argparse_args(parser)
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError("bad_option", message)


def _unknown_flag(unknown: Sequence[str], known: Iterable[str]) -> InputError:
    name, _, value = unknown[0].partition("=")
    if not name.startswith("-"):
        return InputError("unknown_flag", f"{name!r}: what flag does this belong to?")
    if not value and len(unknown) > 1 and not unknown[1].startswith("-"):
        value = unknown[1]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    shown = f"{name} {value}".rstrip()
    return InputError("unknown_flag", f"{shown}: neither beamscope nor Beam has this flag{hint}")


def _config_arguments(
    name: str, known: Iterable[str], parser: argparse.ArgumentParser
) -> list[str]:
    path = CONFIGS / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            "bad_config",
            f"--runner_config {name}: neither a file nor one of {', '.join(config_names())}"
            if isinstance(error, FileNotFoundError)
            else f"--runner_config {name}: {one_line(error)}",
        ) from error
    if not isinstance(content, dict):
        raise InputError("bad_config", f"--runner_config {name}: is not a mapping of options")
    arguments = [arg for key, value in content.items() for arg in _as_arguments(key, value)]
    _, unknown = parser.parse_known_args(arguments)
    if unknown:
        problem = _unknown_flag(unknown, known)
        raise InputError("bad_config", f"--runner_config {name}: {problem.message}")
    return arguments


def _as_arguments(key: str, value: Any) -> list[str]:
    """One option of a config as command-line arguments: a list repeats it, true is a bare flag."""
    if isinstance(value, list):
        return [f"--{key}={item}" for item in value]
    if value is True:
        return [f"--{key}"]
    if value is False or value is None:
        return []
    return [f"--{key}={value}"]
