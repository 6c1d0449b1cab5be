"""Chromium without a window: open a page, read what it has become, take its picture."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# The flags keep it from talking to anybody: tests need no network.
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files", "--hide-scrollbars",
)  # fmt: skip
# The clock of a page runs as fast as its work allows, up to so many of its milliseconds.
_BUDGET_MS = 30_000


def chromium() -> str:
    """Return the program; skip the test where there is none, but not in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "Chromium is not installed (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def page_after(url: str, folder: Path) -> str:
    """Return the HTML that a page has become when its scripts have nothing more to do.

    Args:
      url: file:// or http:// of this machine.
      folder: an empty place for the browser's profile.
    """
    return _run(url, folder, "--dump-dom").stdout


def screenshot(
    url: str, folder: Path, path: Path, *, width: int = 1400, height: int = 1000
) -> None:
    """Write the picture of a page as a PNG."""
    _run(url, folder, f"--screenshot={path}", f"--window-size={width},{height}")
    assert path.exists(), f"Chromium took no picture of {url}"


def _run(url: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    profile = folder / "chromium-profile"
    return subprocess.run(
        [chromium(), *_FLAGS, f"--user-data-dir={profile}",
         f"--virtual-time-budget={_BUDGET_MS}", *flags, url],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
