"""The only module that uses Beam's private names. A new version of Beam may break it.

Checked with Beam 2.77.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
from collections.abc import Iterable, Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
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


@contextlib.contextmanager
def listening_here_only() -> Iterator[None]:
    """Let the servers that Beam starts in this process meanwhile listen to this machine alone.

    Beam's local runners talk to their workers over gRPC, without a password, and their servers
    listen on all of the machine's addresses (``[::]``). Who reaches one can run programs here. The
    workers come by ``localhost``.
    """
    start = grpc.server

    @functools.wraps(start)
    def server(*args: Any, **kwargs: Any) -> Any:
        started = start(*args, **kwargs)
        add_port = started.add_insecure_port

        def add_local_port(address: str) -> int:
            port: int = add_port(address.replace("[::]:", "localhost:"))
            return port

        started.add_insecure_port = add_local_port
        return started

    grpc.server = server
    try:
        yield
    finally:
        grpc.server = start
