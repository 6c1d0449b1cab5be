"""The labels of a job on Dataflow, by which a bill can be divided."""

from __future__ import annotations

import ast
import re
from importlib import metadata

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# https://cloud.google.com/compute/docs/labeling-resources#requirements
_LONGEST = 63
_MOST = 64
_RULE = (
    "a label is KEY=VALUE of lower-case letters, digits, - and _, each of at most 63 characters; a "
    "key begins with a letter"
)
_OWN = 2


def labels_of(options: PipelineOptions) -> dict[str, str]:
    """Return the labels that the options give, as Beam reads them.

    Raises:
      InputError: ``bad_option``: Google would refuse one.
    """
    found: dict[str, str] = {}
    for label in options.view_as(GoogleCloudOptions).labels or []:
        for key, value in _parsed(label):
            if not (key[:1].isalpha() and _is_allowed(key) and _is_allowed(value)):
                raise InputError(Kind.BAD_OPTION, f"--labels {label}: {_RULE}")
            found[key] = value
    if len(found) > _MOST - _OWN:
        raise InputError(
            Kind.BAD_OPTION,
            f"--labels: {len(found)} are given; Google takes {_MOST}, and beamscope adds {_OWN}",
        )
    return found


def add_labels(job: str, options: PipelineOptions) -> None:
    """Add labels for the job's command and beamscope's version, unless the user has set them.

    Args:
      job: name of the command, such as ``slides``.
      options: Beam's own options; changed in place.
    """
    version = re.sub(r"[^a-z0-9_-]", "-", metadata.version("beamscope").lower())[:63]
    labels = {"beamscope-job": job, "beamscope-version": version, **labels_of(options)}
    cloud = options.view_as(GoogleCloudOptions)
    cloud.labels = [f"{key}={value}" for key, value in labels.items()]


def _is_allowed(text: str) -> bool:
    """Return whether a key or value has only what Google takes: letters of any language, too."""
    letters = all(one.isalnum() or one in "_-" for one in text)
    return letters and text == text.lower() and len(text) <= _LONGEST


def _parsed(label: str) -> list[tuple[str, str]]:
    if "{" not in label:
        key, _, value = label.partition("=")
        return [(key, value)]
    try:
        found = ast.literal_eval(label)
        return [(str(key), str(value)) for key, value in found.items()]
    except (ValueError, SyntaxError, AttributeError) as error:
        raise InputError(Kind.BAD_OPTION, f"--labels {label}: {_RULE}") from error
