"""Stores to read datasets from."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.gcs import gcs_emulator
from tests.s3 import s3_server


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The bucket of each remote store, by scheme."""
    with ExitStack() as stack:
        yield {
            "gs": stack.enter_context(gcs_emulator(tmp_path_factory.mktemp("gcs"))),
            "s3": stack.enter_context(s3_server(tmp_path_factory.mktemp("s3"))),
        }
