"""The log file of a start of a job."""

import logging

import pytest

from beamscope.pipelines.terminal.log_file import LOG, logged
from beamscope.transforms.activity import doing
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.s3 import s3_server


def lines_of(path):
    # Without the date and the time.
    return [line[20:] for line in files.read_bytes(path).decode().splitlines()]


def write(root):
    with logged() as log:
        with doing("loading the model"):
            LOG.info("before the output is claimed")
        log.open(root)
        logging.getLogger("beamscope.transforms.x").warning("%s slides", 3)
        try:
            raise ValueError("patient Doe")
        except ValueError:
            logging.getLogger("another").exception("cannot read %s", "Doe^John")
            LOG.exception("one line")
    LOG.info("after the end")
    return log.path


EXPECTED = [
    "info    loading the model",
    "info    before the output is claimed",
    "warning 3 slides",
    "error   another: an error is not quoted here (ValueError)",
    "error   one line (ValueError)",
]


def test_a_log_holds_what_was_said_and_no_words_of_others(tmp_path):
    path = write(str(tmp_path / "out"))
    assert path.startswith(f"{tmp_path}/out/.beamscope/logs/")
    assert lines_of(path) == EXPECTED


@pytest.mark.server
@pytest.mark.parametrize("server", [gcs_emulator, s3_server])
def test_a_log_in_a_bucket(server, tmp_path):
    with server(tmp_path) as bucket:
        # Google's client warns by itself that there are no credentials.
        said = [line for line in lines_of(write(f"{bucket}/out")) if "google.auth" not in line]
        assert said == EXPECTED


def test_a_log_that_is_never_opened_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with logged():
        LOG.info("a dry run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("level", [logging.WARNING, logging.NOTSET])
def test_levels_are_as_before_afterwards(level):
    own = logging.getLogger("beamscope")
    before = own.level
    own.setLevel(level)
    with logged():
        assert own.isEnabledFor(logging.INFO)
    assert own.level == level
    own.setLevel(before)
