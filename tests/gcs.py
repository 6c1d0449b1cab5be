"""A Google Cloud Storage of our own on this machine, for tests of gs:// paths."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

from tests import traffic

BUCKET = "beamscope-test"

_INSERTING = threading.Lock()

# As the emulator has them: while one runs, another may start, and must not count what it counts.
_HANDLERS = server.HANDLERS

# Without credentials Beam looks for those of a virtual machine, for some 20 s in each process. A
# user's token that does not expire is taken as it is, and the emulator accepts any.
_CREDENTIALS = {
    "type": "authorized_user",
    "client_id": "beamscope-test",
    "client_secret": "none",
    "refresh_token": "none",
    "token": "beamscope-test-token",
    "expiry": "9999-01-01T00:00:00Z",
}


@contextlib.contextmanager
def gcs_emulator(directory: Path) -> Iterator[str]:
    """Runs an emulator with one empty bucket and yields its ``gs://`` path.

    Beam, and every process started meanwhile, finds it by the environment, which is restored at
    the end. `traffic.counted_traffic` counts what it is asked.

    Args:
      directory: where the file of credentials is written.
    """
    credentials = directory / "credentials.json"
    credentials.write_text(json.dumps(_CREDENTIALS))
    # It warns of every response that it sends.
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    port = free_port()
    with (
        pytest.MonkeyPatch.context() as environment,
        server.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET),
    ):
        environment.setattr(server, "HANDLERS", _with_conditions(_HANDLERS))
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
        yield f"gs://{BUCKET}"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _with_conditions(handlers):
    return tuple(
        (
            path,
            {
                method: _counted(_insert_if if handler is objects.insert else handler)
                for method, handler in by_method.items()
            },
        )
        for path, by_method in handlers
    )


_KINDS = {
    objects.ls: "list",
    objects.get: "stat",
    objects.download: "whole",
    objects.insert: "put",
    objects.upload_partial: "put",
    objects.delete: "delete",
}


def _counted(handler):
    """Counts the requests that a handler answers; see `traffic`."""
    known = objects.insert if handler is _insert_if else handler

    @functools.wraps(handler)
    def answer(request, response, storage, *args, **kwargs):
        handler(request, response, storage, *args, **kwargs)
        if not request.params:
            return  # The emulator asks itself whether it is there.
        kind = _KINDS.get(known, "other")
        name = request.params.get("object_id")
        content = response._content
        size, names = len(content), 0
        if kind == "stat" and request.query.get("alt") == ["media"]:
            kind = "whole"
        if kind == "whole" and request.get_header("range"):
            kind = "range"
        if kind == "list":
            name = (request.query.get("prefix") or [""])[0]
            found = json.loads(content or "{}")
            names = len(found.get("items", ())) + len(found.get("prefixes", ()))
        if kind == "put":
            size = int(request.get_header("Content-Length") or 0)
            (name,) = request.query.get("name") or [_name_in(request.data)]
        traffic.note(kind, name or "", size, names)

    return answer


def _name_in(data):
    return data["meta"].get("name", "") if isinstance(data, dict) and "meta" in data else ""


def _insert_if(request, response, storage, *args, **kwargs):
    """Inserts as the real store does; the emulator overlooks ``ifGenerationMatch=0``."""
    with _INSERTING:
        if request.query.get("ifGenerationMatch") == ["0"]:
            named = request.query.get("name") or [request.data["meta"]["name"]]
            with contextlib.suppress(NotFound):
                storage.get_file_obj(request.params["bucket_name"], named[0])
                response.status = HTTPStatus.PRECONDITION_FAILED
                return
        objects.insert(request, response, storage, *args, **kwargs)
