"""Only the storage room talks to a store: nobody else imports a store's client."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "transforms" / "storage"
# The clients of stores, Beam's own file systems among them.
CLIENTS = (
    "apache_beam.io.aws",
    "apache_beam.io.azure",
    "apache_beam.io.filesystem",
    "apache_beam.io.filesystems",
    "apache_beam.io.gcp",
    "apache_beam.io.hadoopfilesystem",
    "apache_beam.io.localfilesystem",
    "azure",
    "boto3",
    "botocore",
    "fsspec",
    "gcsfs",
    "google.api_core",
    "google.auth",
    "google.cloud",
    "obstore",
    "s3fs",
    "smart_open",
    "universal_pathlib",
    "upath",
    "pyarrow.fs",
)
# There is no exception: a job is submitted to Dataflow through Beam's runner, and nothing in
# pipelines/runners imports a class of Google's.


def modules_outside() -> list[Path]:
    found = [path for room in ("transforms", "pipelines") for path in (ROOT / room).rglob("*.py")]
    return sorted(path for path in found if ROOM not in path.parents)


def imported(source: str) -> set[str]:
    """Every module that some source imports, wherever in it, by its full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def clients(names: set[str]) -> set[str]:
    return {
        name for name in names if any(f"{name}.".startswith(f"{client}.") for client in CLIENTS)
    }


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import boto3", {"boto3"}),
        ("import google.cloud.storage as gcs", {"google.cloud.storage"}),
        ("from apache_beam.io import filesystems", {"apache_beam.io.filesystems"}),
        ("def f():\n  from apache_beam.io.filesystems import FileSystems",
         {"apache_beam.io.filesystems", "apache_beam.io.filesystems.FileSystems"}),
        ("from google import cloud", {"google.cloud"}),
        ("if x:\n  from pyarrow import fs", {"pyarrow.fs"}),
        ("import apache_beam as beam\nimport requests_of_ours", set()),
    ],
)  # fmt: skip
def test_an_import_is_found_wherever_it_is(source: str, found: set[str]) -> None:
    assert clients(imported(source)) == found


def test_only_the_storage_room_imports_a_client() -> None:
    modules = modules_outside()
    assert len(modules) > 100
    breaches = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in modules
        if (found := clients(imported(path.read_text())))
    }
    assert breaches == {}


def test_the_storage_room_itself_is_thin() -> None:
    for path in ROOM.glob("*.py"):
        # retries.py asks either store again, with the loop of Google's library; requester_pays.py
        # reads the options that Beam's file systems were given.
        allowed = {"google_store.py", "s3_store.py", "retries.py", "requester_pays.py"}
        assert path.name in allowed or not clients(imported(path.read_text())), path.name
