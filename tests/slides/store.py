"""The emulated store, extended to respect generations like the real one, and to count bytes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

from tests.gcs import gcs_emulator


@dataclasses.dataclass
class Store:
    """An emulator that runs.

    Attributes:
      bucket: its ``gs://`` path.
      fetched: bytes of content that were sent, by object.
      requests: for content, by object.
      forbidden: objects that nobody may read.
      unlisted: whether nobody may list the bucket.
    """

    bucket: str
    fetched: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    requests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    forbidden: set[str] = dataclasses.field(default_factory=set)
    unlisted: bool = False

    def forget(self) -> None:
        """Begins to count anew."""
        self.fetched.clear()
        self.requests.clear()


@contextlib.contextmanager
def watched_store(directory: Path) -> Iterator[Store]:
    """Runs an emulator; see `gcs_emulator`."""
    with pytest.MonkeyPatch.context() as patch, gcs_emulator(directory) as bucket:
        store = Store(bucket)
        # The emulator's own handler, whatever counts around it.
        watch = {objects.get: _watched, objects.download: _watched, objects.ls: _listed}
        handlers = tuple(
            (
                path,
                {
                    method: watch.get(inspect.unwrap(handler), _unwatched)(handler, store)
                    for method, handler in by_method.items()
                },
            )
            for path, by_method in server.HANDLERS
        )
        patch.setattr(server, "HANDLERS", handlers)
        yield store


def _unwatched(handler, store: Store):
    return handler


def _watched(handler, store: Store):
    def handle(request, response, storage, *args, **kwargs):
        bucket, name = request.params["bucket_name"], request.params["object_id"]
        if name in store.forbidden:
            response.status = HTTPStatus.FORBIDDEN
            return
        wanted = request.query.get("generation")
        with contextlib.suppress(NotFound):
            there = storage.get_file_obj(bucket, name)["generation"]
            if wanted and wanted[0] != there:
                response.status = HTTPStatus.NOT_FOUND
                return
        send = response.write_file

        def counted(content, **kwargs):
            store.fetched[name] += len(content)
            store.requests[name] += 1
            send(content, **kwargs)

        response.write_file = counted
        handler(request, response, storage, *args, **kwargs)

    return handle


def _listed(handler, store: Store):
    def handle(request, response, storage, *args, **kwargs):
        if store.unlisted:
            response.status = HTTPStatus.FORBIDDEN
            return
        handler(request, response, storage, *args, **kwargs)

    return handle
