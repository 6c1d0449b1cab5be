"""Fingerprints: every field of every settings dataclass declares the one that it enters."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.transforms.fingerprints import (
    Fingerprint,
    declared_fields,
    in_embedding,
    in_none,
    in_plan,
    settings_of,
)
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
SETTINGS = st.dictionaries(st.text(max_size=5), VALUES | st.lists(VALUES, max_size=3), max_size=5)

SPEC = ModelSpec(
    backend="saved_model", input_layout="channels_last", input_channels=3,
    output_layout="channels_last", first_patch=0,
    name="m", digest="9f", called="object", input_name="x", input_size=64, size_source="model",
    input_dtype="float32", input_range="0..1", range_source="assumed", output_key=None,
    output_shape=(7, 7, 8), pooling="mean", features=8,
)  # fmt: skip


@given(SETTINGS)
def test_digest_does_not_depend_on_order(settings: dict[str, Any]) -> None:
    turned = dict(reversed(settings.items()))
    assert Fingerprint(turned).digest == Fingerprint(settings).digest
    assert Fingerprint(settings).differences(turned) == []


@given(SETTINGS, st.text(max_size=5), VALUES)
def test_digest_changes_with_any_value(settings: dict[str, Any], name: str, value: Any) -> None:
    changed = {**settings, name: value}
    same = json.dumps(changed, sort_keys=True) == json.dumps(settings, sort_keys=True)
    assert (Fingerprint(changed).digest == Fingerprint(settings).digest) is same


@given(SETTINGS)
def test_settings_read_back_from_json_do_not_differ(settings: dict[str, Any]) -> None:
    assert Fingerprint(settings).differences(json.loads(json.dumps(settings))) == []


def test_digest_is_16_hex_digits() -> None:
    # printf '{"mpp":0.5}' | sha256sum
    assert Fingerprint({"mpp": 0.5}).digest == "ece8abf296c55dd4"


@pytest.mark.parametrize(
    ("now", "was", "differences"),
    [
        ({"mpp": 0.25}, {"mpp": 0.5}, ["mpp was 0.5 and is now 0.25"]),
        ({"mask": "a"}, {}, ["mask was None and is now 'a'"]),
        ({}, {"mask": "a"}, ["mask was 'a' and is now None"]),
        ({"size": 1}, {"size": True}, ["size was True and is now 1"]),
        ({"size": 1.0}, {"size": 1}, ["size was 1 and is now 1.0"]),
        ({"shape": (1, 2)}, {"shape": [1, 2]}, []),
        (
            {"b": 1, "a": 1, "c": 1},
            {"b": 2, "a": 2, "c": 1},
            ["a was 2 and is now 1", "b was 2 and is now 1"],
        ),
    ],
)
def test_differences(now: dict[str, Any], was: dict[str, Any], differences: list[str]) -> None:
    assert Fingerprint(now).differences(was) == differences


@dataclasses.dataclass(frozen=True)
class Inner:
    window: str = in_plan(default="auto")
    threads: int = in_none(default=4)


@dataclasses.dataclass(frozen=True)
class File:
    uri: str

    def fingerprint_value(self) -> list[str]:
        return ["content of", self.uri]


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    kind: str = in_plan(default="pad", name="preprocess")
    views: frozenset[str] = in_plan(default=frozenset({"PA", "AP"}))
    catalog: File | None = in_plan(default=None)
    precision: str = in_embedding(default="float32")


@pytest.mark.parametrize(
    ("settings", "plan"),
    [
        (
            Outer(),
            {"window": "auto", "preprocess": "pad", "views": ["AP", "PA"], "catalog": None},
        ),
        (
            Outer(Inner("minmax", 9), "crop", frozenset(), File("f.csv")),
            {
                "window": "minmax",
                "preprocess": "crop",
                "views": [],
                "catalog": ["content of", "f.csv"],
            },
        ),
    ],
)
def test_settings_of(settings: Outer, plan: dict[str, Any]) -> None:
    assert settings_of("plan", settings) == plan
    assert settings_of("embedding", settings) == {"precision": "float32"}


def test_settings_of_errors() -> None:
    @dataclasses.dataclass
    class Forgotten:
        inner: Inner
        stride: int = 1

    with pytest.raises(ValueError, match="stride: declare which fingerprint it enters"):
        settings_of("plan", Forgotten(Inner()))
    with pytest.raises(ValueError, match="another setting already has the name 'window'"):
        settings_of("plan", Inner(), Inner())


@pytest.mark.parametrize("name", JOBS.names())
def test_every_setting_of_a_job_says_which_fingerprint_it_enters(name: str) -> None:
    undeclared = [
        field.path
        for settings in JOBS.get(name).example_settings()
        for field in declared_fields(settings)
        if field.scope is None
    ]
    assert undeclared == []


@pytest.mark.parametrize("settings", [ModelSettings("m"), SPEC])
def test_every_setting_of_a_model_says_which_fingerprint_it_enters(settings: Any) -> None:
    assert [f.path for f in declared_fields(settings) if f.scope is None] == []


def test_what_was_found_out_of_a_model_counts_and_what_was_asked_for_does_not() -> None:
    asked = settings_of("embedding", ModelSettings("m", output_key="x", batch_size=4), SPEC)
    assert asked == settings_of("embedding", ModelSettings("elsewhere"), SPEC)
    assert asked["model_digest"] == "9f"
    changed = dataclasses.replace(SPEC, input_range="-1..1")
    assert settings_of("embedding", changed) != asked
    lower = dataclasses.replace(SPEC, precision="bfloat16", compile="openvino")
    assert settings_of("embedding", lower) != asked
