"""moto's S3 server as a program that writes down what it is asked: a line of JSON a request.

    python tests/s3_counting.py PORT FILE

A line is written before its answer is sent, so that whoever has an answer finds the line.
"""

from __future__ import annotations

import json
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_lock = threading.Lock()
_KINDS = {"HEAD": "stat", "PUT": "put", "DELETE": "delete"}


class Counted:
    """A WSGI application that notes what another one is asked.

    Args:
      application: answers.
      path: of the file of lines: kind, name, bytes, names listed; see `traffic.note`.
    """

    def __init__(self, application: Any, path: Path) -> None:
        self._application = application
        self._path = path

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer a request, and note it."""
        body = b"".join(self._application(environ, start_response))
        line = json.dumps(noted(environ, body))
        with _lock, self._path.open("a") as file:
            file.write(f"{line}\n")
        return [body]


def noted(environ: dict[str, Any], body: bytes) -> tuple[str, str, int, int]:
    """Return the kind, name, bytes, and number of names of a request."""
    method = environ["REQUEST_METHOD"]
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    _, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
    if method == "POST" and "delete" in query:
        return "delete", "", len(body), 0
    if method == "GET" and not name:
        names = body.count(b"<Key>") + body.count(b"<CommonPrefixes>")
        return "list", query.get("prefix", [""])[0], len(body), names
    if method == "GET":
        kind = "range" if "HTTP_RANGE" in environ else "whole"
        return kind, name, len(body), 0
    size = int(environ.get("CONTENT_LENGTH") or 0) if method == "PUT" else len(body)
    return _KINDS.get(method, "other"), name, size, 0


if __name__ == "__main__":
    application = DomainDispatcherApplication(create_backend_app)
    run_simple(
        "127.0.0.1", int(sys.argv[1]), Counted(application, Path(sys.argv[2])), threaded=True
    )
