"""A proxy before a store's server on this machine that answers as stores do on a bad day."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import re
import socket
import struct
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.http_server import QuietHandler, http_server

# How an answer goes wrong: a status, a connection that is reset before the request is handled, a
# body that ends in the middle, or a connection that is reset when all has been done.
STATUSES = (429, 500, 503)
RESET, CUT, LOST = "reset", "cut", "lost"
_HOP_HEADERS = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclasses.dataclass
class Fault:
    """What goes wrong, where, and how often.

    Attributes:
      how: a status, or one of `RESET`, `CUT` and `LOST`.
      where: a pattern that the line ``METHOD PATH`` of a request has to match.
      times: how often.
    """

    how: int | str
    where: str = ""
    times: float = 1


class FaultyProxy:
    """The faults of a proxy, and what came of them.

    Attributes:
      requests: the line of each request that has come.
      headers: those of each request that has come.
      met: the line of each request that went wrong.
      body: of an answer that is a status.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.body = b"not now"
        self.met: list[str] = []
        self._lock = threading.Lock()

    def take(self, line: str) -> int | str | None:
        """Return what goes wrong with a request; None for nothing."""
        with self._lock:
            self.requests.append(line)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.where, line):
                    fault.times -= 1
                    self.met.append(line)
                    return fault.how
        return None


@contextlib.contextmanager
def faulty_proxy(variable: str) -> Iterator[FaultyProxy]:
    """Puts a proxy before the server that an environment variable names, for as long as this lasts.

    Args:
      variable: ``STORAGE_EMULATOR_HOST`` or ``AWS_ENDPOINT_URL``.
    """
    with pytest.MonkeyPatch.context() as environment:
        upstream = urllib.parse.urlsplit(os.environ[variable])
        proxy = FaultyProxy()
        with http_server(_handler(proxy, upstream.hostname, upstream.port)) as port:
            environment.setenv(variable, f"http://127.0.0.1:{port}")
            yield proxy


def _handler(proxy: FaultyProxy, host: str, port: int) -> type[QuietHandler]:
    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            # Of a connection that was reset by us or by the client.
            with contextlib.suppress(OSError, ValueError):
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def _serve(self) -> None:
            body = self._body()
            proxy.headers.append({name.lower(): value for name, value in self.headers.items()})
            how = proxy.take(f"{self.command} {self.path}")
            if how == RESET:
                self._reset()
            elif isinstance(how, int):
                self._answer(how, [("Content-Type", "text/plain")], proxy.body)
            else:
                status, headers, answer = self._forward(body)
                if how == LOST:
                    self._reset()
                elif how == CUT:
                    self._answer(status, headers, answer, sent=len(answer) // 2)
                    self._reset()
                else:
                    self._answer(status, headers, answer)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815

        def _body(self) -> bytes:
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(host, port, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_HEADERS}
            headers.pop("Expect", None)
            try:
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                answer = response.read()
            finally:
                connection.close()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _HOP_HEADERS]
            if self.command == "HEAD":
                kept += [("Content-Length", response.headers.get("Content-Length", "0"))]
            return response.status, kept, answer

        def _answer(
            self, status: int, headers: list[tuple[str, str]], body: bytes, sent: int | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if not any(name == "Content-Length" for name, _ in headers):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:sent])
            self.wfile.flush()

        def _reset(self) -> None:
            # Closing a socket that does not linger sends a reset instead of an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            # The file keeps the socket open, too.
            self.rfile.close()
            self.connection.close()

    return Handler
