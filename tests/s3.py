"""An S3 server of our own on this machine, for tests of s3:// paths."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests import traffic
from tests.gcs import free_port

BUCKET = "beamscope-test"
_START_S = 60
_COUNTING = Path(__file__).with_name("s3_counting.py")


@contextlib.contextmanager
def s3_server(directory: Path, *, counted: bool = False) -> Iterator[str]:
    """Runs moto's server with one empty bucket, in a process of its own; yields ``s3://`` + bucket.

    Every process that is started meanwhile finds it by the environment, which is restored at the
    end.

    Args:
      directory: where the server's log is written, and where no file of credentials is.
      counted: whether `traffic.counted_traffic` counts what it is asked.
    """
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    asked = directory / "asked.jsonl"
    if counted:
        command = [sys.executable, str(_COUNTING), str(port), str(asked)]
    with (
        (directory / "moto.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        try:
            for name, value in {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": "beamscope-test",
                "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_CONFIG_FILE": str(directory / "none"),
                "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
                "AWS_EC2_METADATA_DISABLED": "true",
            }.items():
                environment.setenv(name, value)
            _wait_for(endpoint, server)
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            with traffic.also_from(asked) if counted else contextlib.nullcontext():
                yield f"s3://{BUCKET}"
        finally:
            server.terminate()


def forbid(uri: str, *actions: str) -> None:
    """Forbids actions, such as ``s3:GetObject``, on what a URI names; it may end in a star."""
    resource = f"arn:aws:s3:::{uri.removeprefix('s3://')}"
    denied = {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": resource}
    policy = {"Version": "2012-10-17", "Statement": [denied]}
    boto3.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))


def _wait_for(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"{endpoint}/moto-api/"):
                return
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
