"""Dataflow Flex Templates of the jobs: their metadata, and their launch.

    python -m beamscope.pipelines.templates.flex_template slides > containers/slides_metadata.json

The metadata is made from the job's parser, so that a template has the flags of the command. Its
form: https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import DebugOptions, WorkerOptions

from beamscope.pipelines import main
from beamscope.pipelines.jobs.parser import job_parser
from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.runners.beam_internals import add_options
from beamscope.pipelines.runners.gpu import GpuOptions
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.requester_pays import BillingOptions

# Beam's options that a launch sets as parameters. The launch's environment
# (`gcloud dataflow flex-template run --worker-machine-type …`) or the runner config sets others.
_BEAM_OPTIONS = (GpuOptions, BillingOptions, WorkerOptions, DebugOptions)
_BEAM_FLAGS = (
    "require_gpu",
    "embed_accelerator",
    "billing_project",
    "sdk_container_image",
    "number_of_worker_harness_threads",
)

# A template's job has all machines that it needs: parts are for tasks of other schedulers.
_NOT_HERE = ("part",)

# Flags of every job whose value is a path. Each job declares those of its own flags.
_PATHS = {"model": "GCS_READ_FOLDER", "output": "GCS_WRITE_FOLDER"}
_PATH_TYPES = {"file": "GCS_READ_FILE", "folder": "GCS_READ_FOLDER", "pattern": "TEXT"}


def metadata(job: str) -> dict[str, Any]:
    """Return the metadata of a job's template, as Dataflow's API defines TemplateMetadata.

    Args:
      job: ``slides`` or ``xrays``.
    """
    parser = job_parser(JOBS.get(job))
    own = {name: _PATH_TYPES[flag.kind] for name, flag in JOBS.get(job).path_flags.items()}
    parameters = [_parameter(action, own | _PATHS) for action in _actions(parser)]
    for names in parser.required_choices():
        for parameter in parameters:
            if parameter["name"] in names:
                parameter["helpText"] += f"; {' or '.join(names)} is required"
    return {
        "name": f"beamscope {job}",
        "description": parser.description,
        "streaming": False,
        "parameters": parameters,
    }


def command_line(job: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line of a job from the parameters of a launch.

    A launch gives each parameter once, as ``--NAME=VALUE``. Several values are separated by spaces.
    A switch is true or false. An empty parameter counts as not given.

    Args:
      job: ``slides`` or ``xrays``.
      arguments: the parameters of the launch; Beam's own options stay unchanged.

    Raises:
      InputError: ``bad_option``: a switch is neither true nor false.
    """
    actions = {
        flag: action
        for action in _actions(job_parser(JOBS.get(job)))
        for flag in action.option_strings
    }
    found: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        action = actions.get(flag)
        if action is None or not equals:
            found.append(argument)
        elif action.nargs == 0:
            if value.lower() not in ("true", "false"):
                raise InputError(
                    Kind.BAD_OPTION, f"{flag} must be true or false, got {value or 'nothing'}"
                )
            found.extend([flag] if value.lower() == "true" else [])
        elif action.nargs == "+":
            found.extend([flag, *value.split()])
        elif value:
            found.append(argument)
    return found


def launch(job: str, arguments: Sequence[str]) -> int:
    """Run a job with the parameters of a launch, and return the exit status."""
    try:
        arguments = command_line(job, arguments)
    except InputError as error:
        print(f"beamscope {job}: {error.message}", file=sys.stderr)
        return main.USAGE_ERROR
    return main.main([job, *arguments])


def run(argv: Sequence[str]) -> int:
    """Print the metadata of a job's template.

    Raises:
      InputError: there is no such job.
    """
    parser = Parser(
        prog="python -m beamscope.pipelines.templates.flex_template",
        description="Print the metadata of a job's Flex Template.",
    )
    parser.add_argument("job", choices=JOBS.names())
    job: str = parser.parse_args(list(argv)).job
    print(json.dumps(metadata(job), indent=2, ensure_ascii=False))
    return 0


def _actions(parser: Parser) -> list[argparse.Action]:
    """Return the flags that are parameters of a job's template, the job's own first."""
    beam_parser = Parser(add_help=False)
    add_options(beam_parser, _BEAM_OPTIONS)
    return [
        *(action for action in parser.actions() if action.dest not in _NOT_HERE),
        *(action for action in beam_parser.actions() if action.dest in _BEAM_FLAGS),
    ]


def _parameter(action: argparse.Action, paths: Mapping[str, str]) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": action.dest,
        "label": action.dest.replace("_", " "),
        "helpText": (action.help or action.dest) % {"default": action.default},
        "isOptional": not action.required,
        "paramType": _type(action, paths),
    }
    if action.nargs == "+":
        parameter["helpText"] += "; separate several values by spaces"
    if parameter["paramType"] == "ENUM":
        parameter["enumOptions"] = [{"value": value} for value in action.choices or ()]
    return parameter


def _type(action: argparse.Action, paths: Mapping[str, str]) -> str:
    if action.nargs == 0:
        return "BOOLEAN"
    if action.choices and action.nargs is None:
        return "ENUM"
    if action.type in (int, float):
        return "NUMBER"
    return paths.get(action.dest, "TEXT")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
