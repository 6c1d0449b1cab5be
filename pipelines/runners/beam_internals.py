"""The only module that uses Beam's private names. A new version of Beam may break it.

Checked with Beam 2.77.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from apache_beam.options.pipeline_options import PipelineOptions


def add_options(parser: argparse.ArgumentParser, kinds: Iterable[type[PipelineOptions]]) -> None:
    """Add the flags of Beam's option groups to a parser.

    Beam itself calls the same method of each group, also of groups that users write.
    """
    for options in kinds:
        options._add_argparse_args(parser)


def all_options() -> list[type[PipelineOptions]]:
    """Return every imported option group, each once."""
    # A module imported twice would give the same flags twice.
    return list({str(kind): kind for kind in PipelineOptions.__subclasses__()}.values())
