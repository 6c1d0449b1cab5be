"""Parse Beam's own options and the files in runner_configs/, and refuse unknown names."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml
from apache_beam.options.pipeline_options import PipelineOptions

# Imported because Beam collects its options from the subclasses of PipelineOptions.
import beamscope.pipelines.runners.flink
import beamscope.pipelines.runners.gpu  # noqa: F401
from beamscope.pipelines.options.command_line import Parser, check_flags
from beamscope.pipelines.runners.beam_internals import add_options, all_options
from beamscope.pipelines.runners.cache import CACHE_VARIABLE, cache_directory
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage.requester_pays import prepare_storage

CONFIGS = Path(__file__).resolve().parents[2] / "runner_configs"

# It names the runner in full: Beam's "DirectRunner" means different runners on different machines.
DEFAULT_CONFIG = "direct"

# A config may use ${BEAMSCOPE_CACHE}/prism, whatever the machine.
_VARIABLE = re.compile(r"\$\{(\w*)\}")


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flag that chooses where a job runs."""
    group = parser.add_argument_group("where it runs")
    group.add_argument(
        "--runner_config",
        metavar="NAME|FILE",
        help="runner config: a name, or a YAML file; flags on the command line override it "
        f"(default: {DEFAULT_CONFIG}, unless --runner is given; names: "
        f"{', '.join(config_names())})",
    )


def config_names() -> list[str]:
    """Return the names of the runner configs that come with beamscope."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def parse_job(
    parser: Parser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, PipelineOptions]:
    """Parse the flags of a job, a runner config, and Beam's own options.

    Args:
      parser: parser of the job's flags, with those of `add_runner_arguments`.
      arguments: the command line.

    Raises:
      InputError: ``unknown_flag`` with the most similar known flag, ``bad_option``, ``bad_config``,
        or ``missing_runner`` if the runner of the config has not been fetched.
    """
    beam_parser = _beam_parser()
    check_flags(arguments, parser.flags(), beam_parser.flags(), command=parser.prog)
    args, rest = parser.parse_known_args(list(arguments))
    _, stray = beam_parser.parse_known_args(rest)
    if stray:
        raise InputError(Kind.BAD_OPTION, f"{stray[0]!r}: belongs to no flag")
    from_config: list[str] = []
    given = {argument.partition("=")[0] for argument in rest}
    if args.runner_config or "--runner" not in given:
        from_config = _config_arguments(args.runner_config or DEFAULT_CONFIG, beam_parser, given)
    options = PipelineOptions([*from_config, *rest])
    prepare_storage(options)
    return args, options


def config_options(name: str) -> list[str]:
    """Return the options of a runner config as arguments.

    Raises:
      InputError: ``bad_config``.
    """
    return _config_arguments(name, _beam_parser(), ())


def _beam_parser() -> Parser:
    """Return a parser of every option that Beam knows."""
    parser = Parser(add_help=False)
    add_options(parser, all_options())
    return parser


def _config_arguments(name: str, parser: Parser, given: Collection[str]) -> list[str]:
    """Return a config's options as arguments. Files of options in `given` need not exist."""
    path = CONFIGS / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            Kind.BAD_CONFIG,
            f"--runner_config {name}: is neither a file nor one of {', '.join(config_names())}"
            if isinstance(error, FileNotFoundError)
            else f"--runner_config {name}: {one_line(error)}",
        ) from error
    if not isinstance(content, dict):
        raise InputError(Kind.BAD_CONFIG, f"--runner_config {name}: is not a mapping of options")
    expanded = {
        key: _expand(name, value, check=f"--{key}" not in given) for key, value in content.items()
    }
    flags = parser.flags()
    arguments = [arg for key, value in expanded.items() for arg in _as_arguments(key, value, flags)]
    try:
        check_flags(arguments, parser.flags())
        parser.parse_args(arguments)
    except InputError as error:
        raise InputError(Kind.BAD_CONFIG, f"--runner_config {name}: {error.message}") from error
    return arguments


def _expand(name: str, value: Any, *, check: bool) -> Any:
    """Replace ``${BEAMSCOPE_CACHE}`` in a value. With `check`, the resulting file must exist."""
    if not isinstance(value, str):
        return value
    variables = set(_VARIABLE.findall(value))
    if unknown := variables - {CACHE_VARIABLE}:
        raise InputError(
            Kind.BAD_CONFIG,
            f"--runner_config {name}: unknown variable ${{{min(unknown)}}}; "
            f"only ${{{CACHE_VARIABLE}}} is known",
        )
    if not variables:
        return value
    path = _VARIABLE.sub(lambda _: str(cache_directory()), value)
    if check and not Path(path).exists():
        raise InputError(
            Kind.MISSING_RUNNER,
            f"--runner_config {name}: {path} is not there; run `beamscope fetch-runners`",
        )
    return path


def _as_arguments(key: str, value: Any, flags: Collection[str]) -> list[str]:
    """Return one option of a config as command-line arguments.

    A list repeats the flag. True gives the bare flag. False gives ``--no_KEY`` if that flag exists.
    """
    if isinstance(value, list):
        return [f"--{key}={item}" for item in value]
    if value is True:
        return [f"--{key}"]
    if value is False and f"--no_{key}" in flags:
        return [f"--no_{key}"]
    if value is False or value is None:
        return []
    return [f"--{key}={value}"]
