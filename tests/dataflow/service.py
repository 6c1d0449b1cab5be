"""A stand-in for the Dataflow service: it takes jobs over HTTP, keeps them, and runs none."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from tests.http_server import QuietHandler, http_server


@dataclasses.dataclass
class Service:
    """What arrived.

    Attributes:
      endpoint: for ``--dataflow_endpoint``. Beam speaks HTTP, not gRPC, to a host that reads
        ``localhost``.
      requests: method and path of everything that was asked, in order.
      jobs: every job that was submitted, as JSON.
      active: names of jobs that run already, with the id of each. The service answers a job of the
        same name with the one that runs.
    """

    endpoint: str
    requests: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    jobs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    active: dict[str, str] = dataclasses.field(default_factory=dict)

    def create(self, path: str, job: dict[str, Any]) -> dict[str, Any]:
        """Answers a job as the service does."""
        _, _, _, project, _, location, _ = path.partition("?")[0].split("/")
        running = self.active.get(job["name"])
        self.jobs.append(job)
        return {
            "id": running or f"2026-01-01_00_00_00-{len(self.jobs)}",
            "projectId": project,
            "location": location,
            "name": job["name"],
            "type": job["type"],
            "clientRequestId": "another" if running else job["clientRequestId"],
            "currentState": "JOB_STATE_PENDING",
        }


@contextlib.contextmanager
def dataflow_service() -> Iterator[Service]:
    """Runs the stand-in on a free port."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            service.requests.append(("POST", self.path.partition("?")[0]))
            answer = json.dumps(service.create(self.path, json.loads(content))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            service.requests.append(("GET", self.path.partition("?")[0]))
            self.send_error(404)

    with http_server(Handler) as port:
        service = Service(f"http://localhost:{port}")
        yield service
