import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beamscope.pipelines.commands import measure_table
from beamscope.pipelines.commands import measure_ways as module
from beamscope.pipelines.commands.measure_ways import Row, measure_ways
from beamscope.pipelines.estimates.rates import keep_rate, measured_rate
from beamscope.pipelines.main import main
from beamscope.transforms.inference.backends.saved_model import compilers, devices
from beamscope.transforms.inference.backends.saved_model.backend import SAVED_MODEL
from beamscope.transforms.inference.find_model import FoundModel
from beamscope.transforms.inference.model_files import model_digest
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.ways import Measured, Way, peak_bytes, ways
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from tests.inference import models
from tests.pipelines.commands import ending

SETTINGS = ModelSettings("m")
PLAIN, XLA = Way("none", "float32"), Way("xla", "float32")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))


def test_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "openvino_is_installed", lambda: False)
    monkeypatch.setattr(compilers, "processor_has_bfloat16", lambda: False)
    monkeypatch.setattr(devices, "gpus", lambda: [])
    found = {str(way): reason for way, reason in ways(SAVED_MODEL)}
    assert [way for way, reason in found.items() if reason is None] == [
        "none, float32", "xla, float32", "graph, float32",
    ]  # fmt: skip
    assert "pip install" in (found["openvino, float32"] or "")
    assert found["graph, bfloat16"] == "this processor does not have it"
    assert found["xla, float16"] == "TensorFlow sees no GPU here"


def measured(rate: float, *row: float) -> Measured:
    return Measured(rate, 10**9, 2.0, np.float32([row]), 16, ())


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (ending.aborts, "the process was killed by SIGABRT: free(): invalid pointer"),
        (ending.leaves, "the process ended with status 3"),
        (ending.fails, "no such layer"),
    ],
)
def test_a_process_that_ends_gives_the_reason(target: Callable[..., Any], reason: str) -> None:
    assert module._in_a_process(SETTINGS, PLAIN, target) == reason


def test_a_process_answers() -> None:
    refusal = module._in_a_process(SETTINGS, XLA, ending.refuses)
    assert isinstance(refusal, InputError)
    assert (refusal.kind, refusal.message) == (Kind.BAD_MODEL, "model m: xla, float32")
    found = module._in_a_process(SETTINGS, XLA, ending.answers)
    assert isinstance(found, Measured)
    assert found.embeddings.tolist() == [[0, 1, 2, 3]]


def rows(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]) -> list[Row]:
    known = [(Way(*name.split(", ")), None) for name in answers]
    monkeypatch.setattr(module, "ways", lambda backend: [*known, (Way("x", "float16"), "no")])
    monkeypatch.setattr(module, "_in_a_process", lambda settings, way: answers[str(way)])
    return list(measure_ways(FoundModel(SETTINGS, Path("m"), SAVED_MODEL), SETTINGS))


def test_a_failure_costs_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(
        monkeypatch,
        {
            "none, float32": measured(1.0, 3, 4),
            "openvino, float32": InputError(Kind.BAD_MODEL, "model m: differs"),
            "xla, float32": "the process was killed by SIGKILL",
            "graph, bfloat16": measured(2.0, 4, 3),
        },
    )
    assert [row.reason for row in found] == [
        "", "failed: model m: differs", "failed: the process was killed by SIGKILL", "",
        "not here: no",
    ]  # fmt: skip
    assert [row.cosine for row in found] == [
        pytest.approx(1), None, None, pytest.approx(24 / 25), None,
    ]  # fmt: skip


def test_a_model_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no size"):
        rows(monkeypatch, {"none, float32": InputError(Kind.BAD_MODEL, "model m: no size")})


def test_check_model_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = models.save(tmp_path / "m", models.through_strings)
    missing = (Way("graph", "bfloat16"), "not this one")
    monkeypatch.setattr(module, "ways", lambda backend: [(PLAIN, None), (XLA, None), missing])
    started = time.monotonic()
    assert main(["check-model", uri, "--measure", "--batch_size", "2"]) == 0
    whole = time.monotonic() - started
    printed = capsys.readouterr()
    assert "compiling" not in printed.err
    lines = printed.out.splitlines()
    assert lines[:2] == ["model   m", f"digest  {model_digest(Path(uri))}"]
    plain, xla, graph = lines[4:7]
    name, precision, rate, size, unit, ready, seconds, cosine = plain.split()
    assert (name, precision, unit, seconds, cosine) == (
        "none", "float32", "GB", "s", "1.000000",
    )  # fmt: skip
    # A process with TensorFlow in it, and one that did not exist before.
    assert 0.2 < float(size) < 20
    assert 0 < float(ready) < whole
    assert xla.startswith("xla        float32    failed: compiling (xla) failed: ")
    assert graph == "graph      bfloat16   not here: not this one"
    assert lines[-1].startswith("fastest in float32: none; `beamscope plan --model`")
    kept = measured_rate(model_digest(Path(uri)))
    assert kept is not None
    assert (kept.way, kept.input_px, kept.features) == ("none, float32", 16, models.FEATURES)
    assert f"{kept.images_per_second:.1f}" == rate


def test_check_model_measures_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Row(PLAIN, measured(7.5, 1, 2), cosine=1.0), Row(XLA, None, "failed: no")]
    monkeypatch.setattr(measure_table, "measure_ways", lambda *_: iter(found))
    uri = models.save(tmp_path / "m", models.vectors)
    assert main(["check-model", uri, "--measure", "--json"]) == 0
    plain, xla = json.loads(capsys.readouterr().out)
    assert (plain["compile"], plain["images_per_second"], plain["reason"]) == ("none", 7.5, None)
    assert (plain["peak_bytes"], plain["ready_seconds"], plain["cosine"]) == (10**9, 2.0, 1.0)
    assert (xla["compile"], xla["images_per_second"], xla["reason"]) == ("xla", None, "failed: no")


@pytest.mark.parametrize("flag", [("--compile", "xla"), ("--precision", "bfloat16")])
def test_measure_takes_no_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: tuple[str, str]
) -> None:
    assert main(["check-model", str(tmp_path), "--measure", *flag]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"beamscope check-model: {' '.join(flag)}: --measure tries each of them: leave the flag "
        "out\n"
    )


def test_plan_reckons_with_float32() -> None:
    keep_rate("9f", 90.0, way="openvino, bfloat16", input_px=224, features=8)
    assert measured_rate("9f").images_per_second == 90.0
    keep_rate("9f", 30.0, way="openvino, float32", input_px=224, features=8)
    keep_rate("9f", 10.0, way="none, float32", input_px=224, features=8)
    assert measured_rate("9f").images_per_second == 30.0


def test_peak_bytes_counts_what_was_held() -> None:
    before = peak_bytes()
    held = np.ones(50_000_000, np.uint8)
    del held
    assert peak_bytes() >= before
    assert peak_bytes() > 10_000_000
