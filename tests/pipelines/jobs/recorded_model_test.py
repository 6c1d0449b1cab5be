"""A model that an earlier start into an output has loaded need not be loaded for the next one."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from beamscope.pipelines.jobs.recorded_model import spec_found_before
from beamscope.transforms.fingerprints import Fingerprint
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_files import model_digest
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.layout import run_record
from beamscope.transforms.output.model_record import ModelRecord, write_model_record
from beamscope.transforms.output.run_record import RunRecord, write_run_record
from tests.fingerprints_test import SPEC

CARD = {"card": "beamscope.yaml", "card_notes": ("a line",), "from_card": ("input_size",)}


@pytest.fixture
def settings(tmp_path: Path) -> ModelSettings:
    model = tmp_path / "m"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"graph")
    return ModelSettings(str(model), input_mean=(0.5,), input_std=(0.5,), tags=("serve",), **CARD)


@pytest.fixture
def output(tmp_path: Path, settings: ModelSettings) -> str:
    run = RunRecord("slides", 1, "slides", Fingerprint({"mpp": 0.5}), Fingerprint({"plan": "a"}))
    root = str(tmp_path / "out")
    write_run_record(root, run)
    write_model_record(run.layout(root), ModelRecord(settings, spec_of(settings)))
    return root


def spec_of(settings: ModelSettings) -> Any:
    digest = model_digest(Path(settings.uri))
    return dataclasses.replace(SPEC, backend="saved_model", digest=digest)


def test_of_the_same_model(output: str, settings: ModelSettings) -> None:
    assert spec_found_before(output, find_model(settings)) == spec_of(settings)
    other_batch = dataclasses.replace(settings, batch_size=settings.batch_size + 1)
    assert spec_found_before(output, find_model(other_batch)) == spec_of(settings)


@pytest.mark.parametrize(
    "changed",
    [{"input_mean": (0.4,)}, {"precision": "float16"}, {"compile": "xla"}, {"tags": None}],
)
def test_not_where_it_is_called_otherwise(
    output: str, settings: ModelSettings, changed: dict[str, Any]
) -> None:
    other = dataclasses.replace(settings, **changed)
    assert spec_found_before(output, find_model(other)) is None


def test_not_of_another_model(output: str, settings: ModelSettings, tmp_path: Path) -> None:
    renamed = tmp_path / "m2"
    Path(settings.uri).rename(renamed)
    # A name may say how a model is called.
    other = dataclasses.replace(settings, uri=str(renamed))
    assert spec_found_before(output, find_model(other)) is None
    renamed.rename(settings.uri)
    (Path(settings.uri) / "saved_model.pb").write_bytes(b"other")
    assert spec_found_before(output, find_model(settings)) is None


def test_not_of_another_version(
    output: str, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beamscope.pipelines.jobs.recorded_model.own_version", lambda: "9")
    assert spec_found_before(output, find_model(settings)) is None


def test_not_where_there_is_no_record_or_a_damaged_one(
    output: str, settings: ModelSettings, tmp_path: Path
) -> None:
    found = find_model(settings)
    assert spec_found_before(str(tmp_path / "nothing"), found) is None
    # Whoever goes on with the output says so.
    Path(run_record(output)).write_text("{")
    assert spec_found_before(output, found) is None
