"""Every store that the storage room knows, for tests of what all of them promise."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.gcs import gcs_emulator
from tests.s3 import s3_server


@pytest.fixture(scope="session")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The bucket of each remote store, by scheme."""
    with ExitStack() as stack:
        yield {
            "gs": stack.enter_context(gcs_emulator(tmp_path_factory.mktemp("gcs"))),
            "s3": stack.enter_context(s3_server(tmp_path_factory.mktemp("s3"))),
        }


@pytest.fixture(params=["local", "gs", "s3"])
def base(request: pytest.FixtureRequest) -> str:
    """A folder of the test's own, in each of the stores."""
    if request.param == "local":
        return str(request.getfixturevalue("tmp_path") / "base")
    return f"{request.getfixturevalue('buckets')[request.param]}/{request.node.originalname}"


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest, buckets: dict[str, str]) -> str:
    """A folder of the test's own, in each of the remote stores."""
    return f"{buckets[request.param]}/{request.node.originalname}"
