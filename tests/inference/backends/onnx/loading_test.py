"""ONNX models against onnxruntime, called directly on the same pixels."""

import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest

from beamscope.transforms.inference import onnx_sessions, openvino_model
from beamscope.transforms.inference.backends.onnx import backend as onnx_backend
from beamscope.transforms.inference.backends.onnx import loading
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model, open_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.onnx_sessions import import_onnxruntime, onnxruntime_gpus
from beamscope.transforms.inference.openvino_model import has_bfloat16
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problems import InputError
from tests.inference import onnx_models
from tests.inference.onnx_models import FEATURES, SIZE, called, channels_first

PIXELS = structured_images(5, SIZE)
COMPILERS = ("openvino", "none")


def embedded(uri, **settings):
    return Embedder.from_settings(ModelSettings(str(uri), **settings))


def check(embedder, wanted, compiler, *, close=2e-5):
    computed = embedder.embed(PIXELS)
    assert embedder.compile_used == compiler
    assert embedder.fallback is None
    assert computed.dtype == np.float32
    assert computed.shape == wanted.shape
    wanted = wanted.astype(np.float64)
    lengths = np.linalg.norm(computed, axis=1) * np.linalg.norm(wanted, axis=1)
    assert (np.einsum("nd,nd->n", computed, wanted) / lengths).min() > 0.9999
    np.testing.assert_allclose(computed, wanted, atol=close * np.abs(wanted).max())


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_resnet_with_external_data(tmp_path, compiler):
    path = onnx_models.cnn(tmp_path / "m.onnx", external=True)
    embedder = embedded(tmp_path, compile=compiler)  # The directory holds exactly one.
    check(embedder, called(path, channels_first(PIXELS)), compiler)
    spec = embedder.spec
    assert (spec.backend, spec.called, spec.input_name) == ("onnx", "graph", "pixels")
    assert (spec.input_layout, spec.input_size, spec.features) == ("channels_first", SIZE, FEATURES)
    assert (spec.input_range, spec.range_source) == ("0..1", "assumed")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    ("pooling", "wanted"),
    [
        ("cls", lambda tokens: tokens[:, 0]),
        ("mean", lambda tokens: tokens.mean(axis=1)),
        ("mean_patches", lambda tokens: tokens[:, 1:].mean(axis=1)),
        (
            "cls_mean_patches",
            lambda tokens: np.hstack([tokens[:, 0], tokens[:, 1:].mean(axis=1)]),
        ),
        ("none", lambda tokens: tokens.reshape(len(tokens), -1)),
    ],
)
def test_the_tokens_of_a_vit(tmp_path, pooling, wanted, compiler):
    path = onnx_models.vit(tmp_path / "m.onnx", external=True)
    embedder = embedded(path, pooling=pooling, compile=compiler)
    check(embedder, wanted(called(path, channels_first(PIXELS))), compiler)


def test_tokens_are_asked_about(tmp_path):
    path = onnx_models.vit(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="17 tokens of 32 features: choose by --pooling"):
        embedded(path)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_feature_map_of_one_position(tmp_path, compiler):
    path = onnx_models.cnn_map(tmp_path / "m.onnx")
    embedder = embedded(path, compile=compiler)
    check(embedder, called(path, channels_first(PIXELS))[:, :, 0, 0], compiler)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_inputs_of_other_floats(tmp_path, dtype, compiler):
    path = onnx_models.cnn(tmp_path / "m.onnx", dtype=dtype)
    close = 1e-3 if dtype == "float16" else 2e-5
    embedder = embedded(path, compile=compiler)
    check(embedder, called(path, channels_first(PIXELS, dtype)), compiler, close=close)
    assert embedder.spec.input_dtype == dtype


@pytest.mark.parametrize("compiler", COMPILERS)
def test_an_input_of_bytes_in_the_order_of_the_pixels(tmp_path, compiler):
    path = onnx_models.cnn(tmp_path / "m.onnx", dtype="uint8", shape=("n", SIZE, SIZE, 3))
    embedder = embedded(path, compile=compiler)
    check(embedder, called(path, PIXELS), compiler)
    assert (embedder.spec.input_layout, embedder.spec.input_range) == ("channels_last", "0..255")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_mean_std_and_order_of_the_channels(tmp_path, compiler):
    path = onnx_models.cnn(tmp_path / "m.onnx")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    embedder = embedded(path, input_mean=mean, input_std=std, channel_order="bgr", compile=compiler)
    images = channels_first(PIXELS)[:, ::-1]
    images = (images - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    check(embedder, called(path, images.astype(np.float32)), compiler)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_model_that_is_bound_to_one_image(tmp_path, compiler):
    path = onnx_models.cnn(tmp_path / "m.onnx", shape=(1, 3, SIZE, SIZE))
    embedder = embedded(path, compile=compiler)
    alone = [called(path, channels_first(image[None])) for image in PIXELS]
    check(embedder, np.concatenate(alone), compiler)
    assert embedder.spec.fixed_batch == embedder.batch_size == 1


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_model_that_takes_any_size(tmp_path, compiler):
    path = onnx_models.cnn(tmp_path / "m.onnx", shape=("n", 3, "h", "w"))
    with pytest.raises(InputError, match="any size, so --input_size must say which"):
        embedded(path)
    wanted = called(path, channels_first(PIXELS))
    check(embedded(path, input_size=SIZE, compile=compiler), wanted, compiler)
    flexible = embedded(path, flexible_size=SIZE, compile=compiler)
    check(flexible, wanted, compiler)
    assert flexible.spec.size_source == "patch size"


@pytest.mark.parametrize("compiler", COMPILERS)
def test_one_of_two_outputs(tmp_path, compiler):
    path = onnx_models.two_outputs(tmp_path / "m.onnx")
    with pytest.raises(
        InputError, match=r"2 outputs \(embedding, logits\): choose by --output_key"
    ):
        embedded(path)
    for key in ("embedding", "logits"):
        wanted = called(path, channels_first(PIXELS), key)
        check(embedded(path, output_key=key, compile=compiler), wanted, compiler)


def test_bfloat16_where_the_processor_has_it(tmp_path):
    path = onnx_models.cnn(tmp_path / "m.onnx")
    if not has_bfloat16():
        with pytest.raises(InputError, match="--precision bfloat16: this processor does not have"):
            embedded(path, precision="bfloat16")
        return
    embedder = embedded(path, precision="bfloat16")
    assert 0.98 < embedder.check_cosine < 1


def test_attention_that_crashes_openvino_is_left_to_onnxruntime(tmp_path):
    path = onnx_models.vit(tmp_path / "m.onnx", projected=False)
    embedder = embedded(path, pooling="cls")
    assert embedder.compile_used == "none"
    assert "its attention has no projection, and OpenVINO would crash" in embedder.fallback
    wanted = called(path, channels_first(PIXELS))[:, 0]
    np.testing.assert_allclose(embedder.embed(PIXELS), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (onnx_models.dropout, "has a Dropout in training mode"),
        (onnx_models.noisy, "another answer when it gets the same images again"),
        (onnx_models.constant, "answers every image with the same numbers"),
        (onnx_models.over_the_batch, "another answer for an image alone than in a batch"),
        (onnx_models.one_row, r"answers 3 images with shape \[1, 24\], not with one row"),
    ],
)
def test_answers_that_are_not_the_images_are_refused(tmp_path, model, said):
    with pytest.raises(InputError, match=said) as raised:
        open_model(ModelSettings(model(tmp_path / "m.onnx")))
    assert raised.value.kind == "bad_model"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tags": ("serve",)}, "--tags: model m.onnx is an ONNX model, which has none"),
        ({"signature": "s"}, "--signature: model m.onnx is an ONNX model, which has none"),
        ({"output_key": "x"}, "has no output 'x', those are features"),
        ({"input_size": 64}, "takes images of 32x32, and --input_size says 64"),
        ({"input_dtype": "uint8"}, "takes float32, and --input_dtype is uint8"),
        ({"compile": "xla"}, "the model is an ONNX model, which is compiled by openvino"),
        ({"precision": "float16"}, "not for an ONNX model, only float32"),
        ({"pooling": "cls"}, "answers one vector"),
        (
            {"input_layout": "channels_last"},
            r"pixels float32 \[\?, 3, 32, 32\] does not have the channels where --input_layout",
        ),
    ],
)
def test_flags_that_do_not_fit_are_one_line(tmp_path, settings, said):
    path = onnx_models.cnn(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=said) as raised:
        open_model(ModelSettings(path, **settings))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda graph, data: graph.write_bytes(b"\x89PNG"), "is damaged, or no ONNX model"),
        (lambda graph, data: graph.write_bytes(graph.read_bytes()[:-9]), "is damaged, or no ONNX"),
        (lambda graph, data: data.unlink(), r"its external data m\.onnx\.data is not beside it"),
        (lambda graph, data: data.write_bytes(b"short"), r"m\.onnx\.data is cut off: it has 5 byt"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, damage, said):
    graph = Path(onnx_models.cnn(tmp_path / "m.onnx", external=True))
    damage(graph, tmp_path / "m.onnx.data")
    with pytest.raises(InputError, match=said) as raised:
        open_model(ModelSettings(str(graph)))
    assert raised.value.kind == "bad_model"


def test_two_models_in_a_directory_are_named(tmp_path):
    onnx_models.cnn(tmp_path / "a.onnx")
    onnx_models.cnn(tmp_path / "b.onnx")
    with pytest.raises(InputError, match=r"2 ONNX files \(a\.onnx, b\.onnx\): name one of them"):
        find_model(ModelSettings(str(tmp_path)))


def test_the_digest_is_pinned_before_anything_is_loaded(tmp_path):
    path = onnx_models.cnn(tmp_path / "m.onnx", external=True)
    digest = find_model(ModelSettings(path)).load().spec.digest
    assert find_model(ModelSettings(str(tmp_path), model_sha256=digest)).backend.name == "onnx"
    data = tmp_path / "m.onnx.data"
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(InputError, match="the model was changed, or is another one"):
        find_model(ModelSettings(path, model_sha256=digest))


def without(monkeypatch, *packages):
    """Pretend that packages are not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name in packages else find_spec(name, *more),
    )


def test_without_onnxruntime_openvino_is_compared_with_itself_and_a_line_says_so(
    tmp_path, monkeypatch, caplog
):
    path = onnx_models.vit(tmp_path / "m.onnx")
    wanted = called(path, channels_first(PIXELS))[:, 0]
    without(monkeypatch, "onnxruntime")
    with caplog.at_level(logging.WARNING):
        check(embedded(path, pooling="cls"), wanted, "openvino")
        check(embedded(path, pooling="cls", compile="none"), wanted, "none")
    assert "onnxruntime is not installed" in caplog.text
    assert "pip install 'beamscope[onnx]'" in caplog.text
    for model, said in (
        (onnx_models.constant, "the same numbers"),
        (onnx_models.over_the_batch, "alone than in a batch"),
        (onnx_models.noisy, "same images again|cannot be loaded"),
    ):
        with pytest.raises(InputError, match=said):
            open_model(ModelSettings(model(tmp_path / "bad.onnx")))


def test_without_openvino_the_plain_call_serves(tmp_path, monkeypatch):
    path = onnx_models.cnn(tmp_path / "m.onnx")
    without(monkeypatch, "openvino")
    check(embedded(path), called(path, channels_first(PIXELS)), "none")
    with pytest.raises(InputError, match=r"pip install 'beamscope\[cpu\]'"):
        embedded(path, compile="openvino")


def test_with_neither_the_extras_are_named(tmp_path, monkeypatch):
    path = onnx_models.cnn(tmp_path / "m.onnx")
    without(monkeypatch, "openvino", "onnxruntime")
    with pytest.raises(InputError, match=r"pip install 'beamscope\[cpu,onnx\]'") as raised:
        open_model(ModelSettings(path))
    assert raised.value.kind == "missing_package"


def test_a_gpu_is_one_on_which_a_session_is_made(tmp_path, monkeypatch):
    runtime = import_onnxruntime()
    # The model by which it is looked for is one that onnxruntime takes.
    session = runtime.InferenceSession(onnx_sessions._IDENTITY, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.ones(1, np.float32)})
    assert answer.tolist() == [1.0]
    if onnx_sessions.CUDA not in runtime.get_available_providers():
        # A build with CUDA on a machine without a driver.
        providers = [onnx_sessions.CUDA, "CPUExecutionProvider"]
        monkeypatch.setattr(runtime, "get_available_providers", lambda: providers)
        assert onnxruntime_gpus() == []
        with pytest.raises(InputError, match="onnxruntime sees none") as raised:
            open_model(ModelSettings(onnx_models.cnn(tmp_path / "m.onnx")), require_gpu=True)
        assert raised.value.kind == "no_gpu"


def test_with_a_gpu_the_plain_call_is_made_there(tmp_path, monkeypatch):
    path = onnx_models.cnn(tmp_path / "m.onnx")
    asked = []

    class Session(onnx_sessions.OnnxRuntimeSession):
        def __init__(self, path, *, gpu=False):
            asked.append(gpu)
            super().__init__(path)  # There is none here to make it on.

    for module in (loading, onnx_backend):
        monkeypatch.setattr(module, "onnxruntime_gpus", lambda: ["onnxruntime:CUDA:0"])
    compilers = onnx_backend.ONNX.compilers[0].is_automatic.__func__.__globals__
    monkeypatch.setitem(compilers, "onnxruntime_gpus", lambda: ["onnxruntime:CUDA:0"])
    monkeypatch.setattr(loading, "OnnxRuntimeSession", Session)
    check(embedded(path), called(path, channels_first(PIXELS)), "none")
    assert asked == [True]
    assert openvino_model.openvino_is_installed()
