import pytest

from beamscope.transforms.inference.backends.saved_model import compilers, devices
from beamscope.transforms.inference.backends.saved_model.backend import SAVED_MODEL
from beamscope.transforms.inference.model_settings import ModelSettings, Precision
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("how", "precision", "openvino", "gpus", "expected"),
    [
        ("auto", "auto", True, [], ("openvino", "xla")),
        ("auto", "float32", True, [], ("openvino", "xla")),
        ("auto", "auto", False, [], ("xla",)),
        ("auto", "auto", True, ["GPU:0"], ("xla",)),
        ("auto", "auto", False, ["GPU:0"], ("xla",)),
        ("auto", "bfloat16", True, ["GPU:0"], ("openvino",)),
        ("auto", "float16", True, ["GPU:0"], ("xla",)),
        ("graph", "bfloat16", True, [], ("graph",)),
        ("openvino", "auto", True, ["GPU:0"], ("openvino",)),
        ("xla", "auto", True, [], ("xla",)),
        ("none", "auto", True, [], ()),
    ],
)
def test_candidates(
    how: str,
    precision: Precision,
    openvino: bool,
    gpus: list[str],
    expected: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilers, "openvino_is_installed", lambda: openvino)
    monkeypatch.setattr(compilers, "has_bfloat16", lambda: True)
    monkeypatch.setattr(compilers, "processor_has_bfloat16", lambda: True)
    monkeypatch.setattr(devices, "gpus", lambda: gpus)
    found = SAVED_MODEL.candidates(ModelSettings("m", compile=how, precision=precision))
    assert tuple(compiler.name for compiler in found) == expected


@pytest.mark.parametrize(
    ("how", "precision", "openvino", "bfloat16", "gpus", "message"),
    [
        ("openvino", "auto", False, True, [], "--compile openvino: the package openvino is not"),
        ("auto", "bfloat16", False, True, [], "--precision bfloat16: the package openvino is not"),
        ("auto", "bfloat16", True, False, [], "--precision bfloat16: this processor does not"),
        ("graph", "bfloat16", True, False, [], "--precision bfloat16: this processor does not"),
        ("auto", "float16", True, True, [], "--precision float16: TensorFlow sees no GPU"),
        ("openvino", "bfloat16", True, True, [], None),
        ("graph", "bfloat16", False, True, [], None),
        ("auto", "float16", False, False, ["GPU:0"], None),
        ("auto", "auto", False, False, [], None),
        ("xla", "float32", False, False, [], None),
        (
            "graph",
            "float16",
            True,
            True,
            ["GPU:0"],
            "float16: not with --compile graph, only with xla",
        ),
        (
            "none",
            "bfloat16",
            True,
            True,
            [],
            "not with --compile none, only with openvino or graph",
        ),
        (
            "tensorrt",
            "auto",
            True,
            True,
            [],
            "--compile tensorrt: the model is a TensorFlow 2 Saved",
        ),
    ],
)
def test_candidates_errors(
    how: str,
    precision: Precision,
    openvino: bool,
    bfloat16: bool,
    gpus: list[str],
    message: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilers, "openvino_is_installed", lambda: openvino)
    monkeypatch.setattr(compilers, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(compilers, "processor_has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(devices, "gpus", lambda: gpus)
    settings = ModelSettings("m", compile=how, precision=precision)
    if message is None:
        SAVED_MODEL.candidates(settings)
        return
    with pytest.raises(InputError, match=message) as raised:
        SAVED_MODEL.candidates(settings)
    assert raised.value.kind == "bad_option"
    assert "\n" not in str(raised.value)
