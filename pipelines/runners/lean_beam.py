"""Import Beam without what it tries to import, and no job on this machine needs.

`import apache_beam` also imports the clients of MongoDB, BigQuery and Pub/Sub, and pandas, wherever
they are installed: some two fifths of its seconds. It does without those that are not. Whoever
needs one of them later imports it as ever.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

# Beam 2.77 catches the ImportError of each, and then does without for good. So the clients of
# Dataflow and of S3 are not among them: its runner and its file system use those.
_NOT_NEEDED = (
    "bson",
    "google.cloud.bigquery",
    "google.cloud.bigquery_storage_v1",
    "google.cloud.pubsub",
    "pandas",
    "pymongo",
)
# It warns where its package is not there.
_WARNS = "apache_beam.io.mongodbio"


def import_lean_beam() -> None:
    """Import Beam as if those packages were not installed; once it is imported, change nothing."""
    if "apache_beam" in sys.modules:
        return
    log = logging.getLogger(_WARNS)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with _hidden(_NOT_NEEDED):
            import apache_beam  # noqa: F401
            import pyarrow as pa

            # PyArrow looks for pandas at its first array, and only then.
            pa.array([0])
    finally:
        log.setLevel(level)


class _Hiding(MetaPathFinder):
    """Finds none of some modules, as if they were not installed."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Raise ModuleNotFoundError for those modules; leave others to the next finder."""
        del path, target
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextlib.contextmanager
def _hidden(names: Collection[str]) -> Iterator[None]:
    """Let imports of these modules fail meanwhile, of those that are not imported yet."""
    hiding = _Hiding(names)
    sys.meta_path.insert(0, hiding)
    try:
        yield
    finally:
        sys.meta_path.remove(hiding)
