"""A program that nobody listens to any more, as behind `| head`, ends without a traceback."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["slides", "--help_all"]])
def test_help_that_nobody_reads(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "beamscope", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
