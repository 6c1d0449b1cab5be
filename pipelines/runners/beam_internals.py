"""Beam's private names, all in one place: what is written here may break with the next Beam.

Checked with Beam 2.77.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from apache_beam.options.pipeline_options import PipelineOptions


def add_options(parser: argparse.ArgumentParser, kinds: Iterable[type[PipelineOptions]]) -> None:
    """Add the flags of Beam's groups of options to a parser.

    Beam itself calls this method of each group, and of those that users write.
    """
    for options in kinds:
        options._add_argparse_args(parser)


def all_options() -> list[type[PipelineOptions]]:
    """Return every group of options that has been imported, each once."""
    # A module that was imported twice would give the same flags twice.
    return list({str(kind): kind for kind in PipelineOptions.__subclasses__()}.values())
