"""The record of a model is read back as it was written."""

import dataclasses
import importlib.metadata
from pathlib import Path

import pytest

from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.output.checked_json import read_json, write_json
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.model_record import (
    ModelRecord,
    read_model_record,
    write_model_record,
)
from beamscope.transforms.output.sealed import DamagedError
from tests.fingerprints_test import SPEC

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path), "plan", "embedding")
    assert read_model_record(layout) is None
    record = ModelRecord(
        ModelSettings("m", tags=("serve",), input_mean=MEAN, input_std=STD, channel_order="bgr"),
        dataclasses.replace(SPEC, input_mean=MEAN, input_std=STD, channel_order="bgr"),
    )
    write_model_record(layout, record)
    assert read_model_record(layout) == record
    content = read_json(layout.model_record)
    assert content is not None
    assert content.pop("found_by") == importlib.metadata.version("beamscope")
    # As earlier versions wrote it.
    write_json(layout.model_record, content)
    assert read_model_record(layout) == dataclasses.replace(record, found_by="")


@pytest.mark.parametrize("content", [{}, {"settings": None, "spec": {}}, {"settings": {"uri": 1}}])
def test_what_is_no_record_is_damaged(tmp_path: Path, content: object) -> None:
    layout = Layout(str(tmp_path), "plan", "embedding")
    write_json(layout.model_record, content)
    with pytest.raises(DamagedError, match="not the record of a model"):
        read_model_record(layout)
