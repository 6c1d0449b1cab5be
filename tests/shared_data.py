"""The paths of the real slides, films and models; tests read them in place."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(relative: str) -> Path:
    """The path of a shared file; the test is skipped where it is missing, and fails in CI."""
    path = SHARED / relative
    if not path.exists():
        reason = f"../shared/{relative} is not there"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI needs it")
        pytest.skip(reason)
    return path
