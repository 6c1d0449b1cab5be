"""Beam's own options and the files in runner_configs/: every name is checked, none is dropped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.command_line import Parser, check_flags
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


def parse_job(
    parser: Parser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, PipelineOptions]:
    """Parses the flags of a job, a runner config, and Beam's own options.

    Args:
      parser: of the job's flags, those of `add_runner_arguments` among them.
      arguments: the command line.

    Raises:
      InputError: ``unknown_flag`` with the nearest known one, ``bad_option`` or ``bad_config``.
    """
    beam_parser = _beam_parser()
    check_flags(arguments, parser.flags() | beam_parser.flags())
    args, rest = parser.parse_known_args(list(arguments))
    _, stray = beam_parser.parse_known_args(rest)
    if stray:
        raise InputError("bad_option", f"{stray[0]!r}: which flag does this belong to?")
    from_config: list[str] = []
    if args.runner_config or not any(argument.split("=")[0] == "--runner" for argument in rest):
        from_config = _config_arguments(args.runner_config or DEFAULT_CONFIG, beam_parser)
    return args, PipelineOptions([*from_config, *rest])


def _beam_parser() -> Parser:
    """A parser of every option that Beam knows."""
    parser = Parser(add_help=False)
    for options in {str(cls): cls for cls in PipelineOptions.__subclasses__()}.values():
        options._add_argparse_args(parser)
    return parser


def _config_arguments(name: str, parser: Parser) -> list[str]:
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
    try:
        check_flags(arguments, parser.flags())
        parser.parse_args(arguments)
    except InputError as error:
        raise InputError("bad_config", f"--runner_config {name}: {error.message}") from error
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
