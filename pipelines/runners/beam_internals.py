"""The only module that uses Beam's private names. A new version of Beam may break it.

Checked with Beam 2.77.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
from apache_beam.options.pipeline_options import PipelineOptions

_PORTS_TO_TRY = 20


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
            if address == "[::]:0":
                return _listen_on_a_free_port(add_port)
            return int(add_port(address.replace("[::]:", "localhost:")))

        started.add_insecure_port = add_local_port
        return started

    grpc.server = server
    try:
        yield
    finally:
        grpc.server = start


def _listen_on_a_free_port(add_port: Callable[[str], int]) -> int:
    """Listen to one port on every address that ``localhost`` stands for, and return it.

    Who connects to ``localhost`` takes the address that answers first. Told to choose the port
    itself, gRPC warns where another program has the same number on one of the addresses, and goes
    on: a worker may then talk to that program.

    Raises:
      RuntimeError: no port is free on all of them.
    """
    for _ in range(_PORTS_TO_TRY):
        with contextlib.suppress(OSError, RuntimeError):
            port, addresses = _free_port()
            for address in addresses:
                add_port(f"{address}:{port}")
            return port
    raise RuntimeError("no port is free on all addresses of localhost")


def _free_port() -> tuple[int, list[str]]:
    """Return a port that nobody listens to, and the addresses of this machine for itself."""
    # Unlike gRPC's, these sockets share their port with nobody.
    with socket.socket() as on_ipv4:
        on_ipv4.bind(("127.0.0.1", 0))
        port: int = on_ipv4.getsockname()[1]
        try:
            on_ipv6 = socket.socket(socket.AF_INET6)
        except OSError:
            return port, ["127.0.0.1"]
        with on_ipv6:
            try:
                on_ipv6.bind(("::1", port))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                return port, ["127.0.0.1"]
    return port, ["127.0.0.1", "[::1]"]
