"""`make audit`: what it says of each outcome. The advisory service itself is not asked here."""

import subprocess

import pytest

from tests.packaging.project import ROOT

FOUND = """Found 1 known vulnerability in 1 package
Name   Version ID              Fix Versions
pillow 1.0     GHSA-0000-0000  2.0"""
NOT_ASKED = "ERROR:pip_audit._cli:six: Dependency not found on PyPI and could not be audited: six"
NO_NETWORK = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443)"


@pytest.mark.parametrize(
    ("status", "said", "expected", "words"),
    [
        (0, "No known vulnerabilities found", 0, "no known vulnerability in requirements.lock"),
        (1, FOUND, 1, "GHSA-0000-0000"),
        (1, NOT_ASKED, 2, "did not answer for every package: nothing is known"),
        (1, NO_NETWORK, 2, "did not answer for every package: nothing is known"),
    ],
)
def test_outcomes(tmp_path, status, said, expected, words):
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/asked\ncat <<'END'\n{said}\nEND\n"
                    f"exit {status}\n")  # fmt: skip
    tool.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts/audit.sh", tool, "requirements.lock"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == expected
    assert words in done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text().split()
    # Without the first a package that nobody knows would count as sound.
    assert {"--strict", "--require-hashes", "--disable-pip"} <= set(asked)
