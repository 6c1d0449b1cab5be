"""A Google Cloud Storage of our own on this machine, for tests of gs:// paths."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator.server import create_server

BUCKET = "beamscope-test"

# Without credentials Beam looks for those of a virtual machine, for some 20 s in each process. A
# user's token that does not expire is taken as it is, and the emulator accepts any.
_CREDENTIALS = {
    "type": "authorized_user",
    "client_id": "beamscope-test",
    "client_secret": "none",
    "refresh_token": "none",
    "token": "any",
    "expiry": "9999-01-01T00:00:00Z",
}


@contextlib.contextmanager
def gcs_emulator(directory: Path) -> Iterator[str]:
    """Runs an emulator with one empty bucket and yields its ``gs://`` path.

    Beam, and every process started meanwhile, finds it by the environment, which is restored at
    the end.

    Args:
      directory: where the file of credentials is written.
    """
    credentials = directory / "credentials.json"
    credentials.write_text(json.dumps(_CREDENTIALS))
    # It warns of every response that it sends.
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    port = _free_port()
    with (
        create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET),
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
        yield f"gs://{BUCKET}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
