"""Where the runners are that `make runners` fetches."""

import os
from pathlib import Path

import pytest

from pipelines.beam_options import cache_directory


def fetched(name: str) -> Path:
    """The path of a fetched runner; the test is skipped where it is missing.

    In CI it fails, unless CI says in ``BEAMSCOPE_CI_WITHOUT`` that it does without that runner.
    """
    path = cache_directory() / name
    if not path.exists():
        reason = f"{name} is not fetched; run `make runners`"
        without = os.environ.get("BEAMSCOPE_CI_WITHOUT", "").split()
        if os.environ.get("CI") and name not in without:
            pytest.fail(f"{reason}: CI needs it")
        pytest.skip(reason)
    return path
