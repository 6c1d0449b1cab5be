"""The record of the model of an output, so that its dataset is assembled without the model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.output.checked_json import read_json, write_json
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.sealed import DamagedError


def own_version() -> str:
    """Return the version of beamscope."""
    return importlib.metadata.version("beamscope")


@dataclasses.dataclass(frozen=True)
class ModelRecord:
    """The model that embeds into an output.

    Attributes:
      settings: how its user wanted it called.
      spec: how it is called.
      found_by: version of beamscope that found that out; empty where an earlier one, which did not
        write it, has.
    """

    settings: ModelSettings
    spec: ModelSpec
    found_by: str = dataclasses.field(default_factory=own_version)


def write_model_record(layout: Layout, record: ModelRecord) -> None:
    """Write the record of the model whose embeddings have the fingerprint of the layout.

    Raises:
      OSError: the file cannot be written.
    """
    content = {
        "settings": dataclasses.asdict(record.settings),
        "spec": record.spec.to_json(),
        "found_by": record.found_by,
    }
    write_json(layout.model_record, content)


def read_model_record(layout: Layout) -> ModelRecord | None:
    """Return the record of the model of a layout's embeddings; None if there is none.

    Raises:
      DamagedError: the file is not what was written.
    """
    content = read_json(layout.model_record)
    if content is None:
        return None
    try:
        return ModelRecord(
            ModelSettings(**_with_tuples(content["settings"])),
            ModelSpec(**_with_tuples(content["spec"])),
            content.get("found_by", ""),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedError(layout.model_record, "it is not the record of a model") from error


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return what JSON made lists of as the tuples that they were."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
