"""What becomes of a process that is to find out how a model is called.

That it finds what this process would is in `tests/pipelines/jobs/model_test.py`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beamscope.transforms.inference import load_apart
from beamscope.transforms.inference.backends.saved_model import compilers
from beamscope.transforms.inference.find_model import FoundModel, find_model
from beamscope.transforms.inference.load_apart import spec_apart
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from tests.inference import models, process_ends


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FoundModel:
    # Here TensorFlow is imported already, so that this process would load small models.
    monkeypatch.setattr(load_apart, "_SMALL_BYTES", -1)
    return find_model(ModelSettings(models.save(tmp_path / "m", models.vectors)))


@pytest.mark.parametrize("here", [False, True])
def test_a_precision_that_only_the_workers_have(
    tmp_path: Path, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilers, "_gpus", lambda: [])
    uri = models.save(tmp_path / "m", models.vectors)
    found = find_model(ModelSettings(uri, precision="float16"))
    if here:
        with pytest.raises(InputError, match="--precision float16: TensorFlow sees no GPU here"):
            found.load()
        return
    assert found.load(computes_here=False).spec.precision == "float16"


def test_a_compiler_that_no_machine_has(tmp_path: Path) -> None:
    found = find_model(ModelSettings(models.save(tmp_path / "m", models.vectors), compile="fast"))
    with pytest.raises(InputError, match="--compile fast"):
        found.load(computes_here=False)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (process_ends.killed, "model m: the process that loads it was killed by SIGKILL, .*"
         "--launcher-machine-type"),
        (process_ends.refuses, "model m: it is none$"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_loaded_is_one_line(
    found: FoundModel, load: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_apart, "_load", load)
    with pytest.raises(InputError) as raised:
        spec_apart(found)
    assert re.match(message, raised.value.message)
    assert "\n" not in raised.value.message


def test_where_the_process_has_a_fault_of_its_own_the_model_may_be_fine(
    found: FoundModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(load_apart, "_load", process_ends.raises)
    assert spec_apart(found) is None
    assert "model m: loaded in this process, since another fails: no module" in caplog.text


def test_not_for_a_small_model_where_its_library_is_there(
    found: FoundModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_apart, "_SMALL_BYTES", 10**6)
    monkeypatch.setattr(load_apart, "call_apart", None)
    assert spec_apart(found) is None
