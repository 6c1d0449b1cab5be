import pytest

from beamscope.transforms.inference.backends.saved_model import compilers as ways
from beamscope.transforms.inference.backends.saved_model.compilers import candidates, check_machine
from beamscope.transforms.inference.model_settings import Compile, ModelSettings, Precision
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
    how: Compile,
    precision: Precision,
    openvino: bool,
    gpus: list[str],
    expected: tuple[Compile, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways, "openvino_is_installed", lambda: openvino)
    monkeypatch.setattr(ways, "gpus", lambda: gpus)
    assert candidates(ModelSettings("m", compile=how, precision=precision)) == expected


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
    ],
)
def test_check_machine_errors(
    how: Compile,
    precision: Precision,
    openvino: bool,
    bfloat16: bool,
    gpus: list[str],
    message: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways, "openvino_is_installed", lambda: openvino)
    monkeypatch.setattr(ways, "gpus", lambda: gpus)
    monkeypatch.setattr(ways, "_processor_has_bfloat16", lambda _: bfloat16)
    settings = ModelSettings("m", compile=how, precision=precision)
    if message is None:
        check_machine(settings)
        return
    with pytest.raises(InputError, match=message) as raised:
        check_machine(settings)
    assert raised.value.kind == "bad_option"
    assert "\n" not in str(raised.value)
