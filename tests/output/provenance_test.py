import importlib.metadata
import platform
import socket
from pathlib import Path

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.provenance import (
    read_worker_records,
    versions,
    write_worker_record,
)


def test_versions_are_those_of_the_packages(monkeypatch):
    real = importlib.metadata.version
    assert versions()["numpy"] == real("numpy")
    assert versions()["python"] == platform.python_version()

    def without_openvino(name: str) -> str:
        if name == "openvino":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", without_openvino)
    assert "openvino" not in versions()


def test_workers_that_agree_share_a_record_and_others_have_one_each(tmp_path, monkeypatch):
    layout = Layout(str(tmp_path), "p1", "f1")
    assert read_worker_records(layout) == []
    for _ in range(2):
        write_worker_record(layout)
    (one,) = read_worker_records(layout)
    assert one == {"machine": platform.machine(), "versions": versions()}
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    write_worker_record(layout)
    found = {record["versions"]["python"] for record in read_worker_records(layout)}
    assert found == {one["versions"]["python"], "3.99.0"}
    assert read_worker_records(Layout(str(tmp_path), "p1", "other")) == []


def test_a_record_does_not_say_where_it_was_made(tmp_path):
    write_worker_record(Layout(str(tmp_path), "p1", "f1"))
    (path,) = Path(tmp_path).rglob("*.json")
    assert socket.gethostname() not in path.read_text()
