"""The paths of the runners that `beamscope fetch-runners` fetches."""

import os
from pathlib import Path

import pytest

from beamscope.pipelines.runners.cache import cache_directory


def fetched(name: str) -> Path:
    """The path of a fetched runner; where it is missing the test is skipped, and in CI it fails."""
    path = cache_directory() / name
    if not path.exists():
        reason = f"{name} is not fetched; run `beamscope fetch-runners`"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}: CI needs it")
        pytest.skip(reason)
    return path
