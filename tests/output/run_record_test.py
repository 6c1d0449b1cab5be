from pathlib import Path

import pytest

from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.output.layout import Layout, run_record
from beamscope.transforms.output.run_record import (
    RunRecord,
    read_run_record,
    write_run_record,
)
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

PLAN = Fingerprint({"job": "slides", "mpp": 0.5})
EMBEDDING = Fingerprint({"plan": PLAN.digest, "model_digest": "9f"})


@pytest.mark.parametrize("embedding", [EMBEDDING, None])
def test_a_record_reads_back(tmp_path: Path, embedding: Fingerprint | None) -> None:
    record = RunRecord("slides", 12, "slides", PLAN, embedding)
    assert read_run_record(str(tmp_path)) is None
    write_run_record(str(tmp_path), record)
    assert read_run_record(str(tmp_path)) == record


def test_the_settings_of_a_run_are_those_of_both_fingerprints() -> None:
    record = RunRecord("slides", 12, "slides", PLAN, EMBEDDING)
    assert record.settings == {"job": "slides", "mpp": 0.5, "model_digest": "9f"}
    assert RunRecord("slides", 12, "slides", PLAN, None).settings == PLAN.settings


def test_where_the_work_of_a_run_lies() -> None:
    record = RunRecord("slides", 12, "slides", PLAN, EMBEDDING)
    assert record.layout("out") == Layout("out", PLAN.digest, EMBEDDING.digest)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 3, "job": "slides"}', b"\xff"])
def test_read_run_record_errors(tmp_path: Path, content: bytes) -> None:
    files.write_bytes(run_record(str(tmp_path)), content)
    with pytest.raises(InputError, match=r"run\.json is damaged") as raised:
        read_run_record(str(tmp_path))
    assert raised.value.kind == "foreign_output"


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b'{"job": "slides", "settings": {}}', r"0\.1"),
        (b'{"format": 2, "job": "slides", "items": 1}', r"0\.2"),
    ],
)
def test_a_record_of_an_earlier_version_is_refused(
    tmp_path: Path, content: bytes, version: str
) -> None:
    files.write_bytes(run_record(str(tmp_path)), content)
    with pytest.raises(InputError, match=f"begun by beamscope {version}") as raised:
        read_run_record(str(tmp_path))
    assert raised.value.kind == "old_output"


def test_a_digit_that_changed_is_noticed(tmp_path: Path) -> None:
    write_run_record(str(tmp_path), RunRecord("slides", 12, "slides", PLAN, EMBEDDING))
    path = Path(run_record(str(tmp_path)))
    path.write_text(path.read_text().replace("12", "13"))
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        read_run_record(str(tmp_path))
