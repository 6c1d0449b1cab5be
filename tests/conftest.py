"""Marks for the tests that `make test-fast` leaves out."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Tests keep no compiled models in the user's cache, but for those that set this themselves.
os.environ["BEAMSCOPE_COMPILED_GB"] = "0"

# No test holds a time: on a busy machine an example may take as long as it likes.
settings.register_profile("beamscope", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beamscope")

# Folders whose tests start servers, worker processes or whole environments, and those that build,
# load and compile models; a fixture named here is a server, or something in one.
_SERVER_FOLDERS = ("dataflow", "packaging", "runners")
_SERVER_FIXTURES = {"bucket", "cloud", "gcs", "moto", "s3", "store", "stores", "submitted"}
_SLOW_FOLDERS = (
    "campaign",
    "inference",
    "output/ptransforms",
    "pipelines/commands",
    "probe/bootstrap",
    "probe/curve",
    "probe/findings",
    "probe/leakage",
    "probe/learners",
    "pipelines/jobs",
    "pipelines/terminal/quiet",
    "python_docs",
    "using_docs",
    "reading_docs",
    "slides/preview",
    "slides/ptransforms",
    "slides/readers/native/fallback",
    "slides/readers/native/patch_reading",
    "slides/readers/native/shrinking",
    "slides/readers/native/slide",
    "slides/readers/native/tiles",
    "slides/tissue/thumbnail",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by the folder that they lie in and the fixtures that they use.

    Those that are marked ``campaign`` are left out but for `make test-faults`.
    """
    for item in items:
        folder = item.nodeid.partition("tests/")[2]
        if folder.startswith(_SERVER_FOLDERS) or _SERVER_FIXTURES & set(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker(pytest.mark.server)
        if folder.startswith(_SLOW_FOLDERS):
            item.add_marker(pytest.mark.slow)
    if os.environ.get("BEAMSCOPE_CAMPAIGN") != "whole":
        left_out = [item for item in items if item.get_closest_marker("campaign")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    # Those that wait for servers and start whole jobs first: else one of two test processes is at
    # them alone at the end, for minutes. The order is otherwise as it was.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/runners/"))
