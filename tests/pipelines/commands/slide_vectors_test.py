"""`beamscope slide-vectors` on models whose answers can be computed by hand."""

import json

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from beamscope.pipelines.main import main
from tests.probe.datasets import write_films, write_slides

FEATURES, LENGTH = 6, 3
RANDOM = np.random.default_rng(0)
SLIDES = {name: RANDOM.normal(size=(n, FEATURES)).astype(np.float32)
          for name, n in (("a", 5), ("b", 200), ("c", 1))}  # fmt: skip
WEIGHTS = RANDOM.normal(size=(FEATURES, LENGTH)).astype(np.float32)


@pytest.fixture
def dataset(tmp_path):
    return write_slides(tmp_path / "d", SLIDES, shards=2)


def vectors(dataset):
    table = pq.read_table(f"{dataset}/slide_embeddings.parquet")
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    found = flat.reshape(len(table), -1)
    return dict(zip(table["slide_id"].to_pylist(), found, strict=True)), table


def pooled(patches, columns):
    """The weighted mean by a softmax over the first feature plus a little of the left edge."""
    raw = patches[:, 0] + 0.01 * columns
    attention = np.exp(raw - raw.max()) / np.exp(raw - raw.max()).sum()
    return attention @ patches @ WEIGHTS


def test_the_mean(dataset, capsys):
    assert main(["slide-vectors", dataset]) == 0
    assert "3 slides of 6 numbers" in capsys.readouterr().out
    found, table = vectors(dataset)
    assert list(found) == ["a", "b", "c"]
    assert table["patches"].to_pylist() == [5, 200, 1]
    for name, patches in SLIDES.items():
        np.testing.assert_allclose(found[name], patches.mean(0), rtol=1e-5, atol=1e-6)
    assert table.schema.metadata[b"beamscope.pooling"] == b"mean"


class Pooled(tf.Module):
    """Takes a batch of one slide, with coordinates, and answers more than the vector."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([1, None, FEATURES], tf.float32, name="features"),
            tf.TensorSpec([1, None, 2], tf.int64, name="coords"),
        ]
    )
    def call(self, features, coords):
        raw = features[..., 0] + 0.01 * tf.cast(coords[..., 0] // 224, tf.float32)
        attention = tf.nn.softmax(raw, axis=-1)
        mean = tf.einsum("bn,bnd->bd", attention, features)
        return {"embedding": mean @ tf.constant(WEIGHTS), "attention": attention}


class Flat(tf.Module):
    """Takes the patches of a slide without a batch."""

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
    def call(self, x):
        return tf.reduce_max(x, axis=0)


def test_a_saved_model_with_coordinates(dataset, tmp_path):
    module = Pooled()
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.call})
    assert main(["slide-vectors", dataset, "--model", str(tmp_path / "m")]) == 0
    found, table = vectors(dataset)
    for name, patches in SLIDES.items():
        expected = pooled(patches, np.arange(len(patches)))
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
    assert len(table.schema.metadata[b"beamscope.model_digest"]) == 64


def test_a_saved_model_without_a_batch(dataset, tmp_path):
    module = Flat()
    tf.saved_model.save(module, str(tmp_path / "m"), {"pool": module.call})
    assert main(["slide-vectors", dataset, "--model", str(tmp_path / "m")]) == 0
    found, _ = vectors(dataset)
    for name, patches in SLIDES.items():
        np.testing.assert_allclose(found[name], patches.max(0), rtol=1e-6)


def save_onnx(path, outside=False):
    """The same network: softmax over the first feature and the left edge, then a matrix."""
    nodes = [
        helper.make_node("Gather", ["features", "first"], ["raw"], axis=1),
        helper.make_node("Gather", ["coords", "first"], ["left"], axis=1),
        helper.make_node("Cast", ["left"], ["left_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["left_float", "scale"], ["column"]),
        helper.make_node("Add", ["raw", "column"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["attention"], axis=0),
        helper.make_node("Transpose", ["attention"], ["row"], perm=[1, 0]),
        helper.make_node("MatMul", ["row", "features"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bag",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", FEATURES]),
            helper.make_tensor_value_info("coords", TensorProto.INT64, ["N", 2]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, LENGTH])],
        [
            numpy_helper.from_array(WEIGHTS, "weights"),
            numpy_helper.from_array(np.array([0], np.int64), "first"),
            numpy_helper.from_array(np.array(0.01 / 224, np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    more = {"save_as_external_data": True, "size_threshold": 0, "location": "w"} if outside else {}
    onnx.save(model, str(path), **more)


@pytest.mark.parametrize("outside", [False, True], ids=["one file", "external data"])
def test_an_onnx_model(dataset, tmp_path, outside):
    (tmp_path / "m").mkdir()
    save_onnx(tmp_path / "m" / "m.onnx", outside)
    assert main(["slide-vectors", dataset, "--model", str(tmp_path / "m" / "m.onnx")]) == 0
    found, _ = vectors(dataset)
    for name, patches in SLIDES.items():
        expected = pooled(patches, np.arange(len(patches)))
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-4)


def test_a_slide_whose_vector_is_not_finite_is_left_out(dataset, tmp_path, capsys):
    class Variance(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
        def call(self, x):
            n = tf.cast(tf.shape(x)[0], tf.float32)
            return tf.reduce_sum((x - tf.reduce_mean(x, 0)) ** 2, 0) / (n - 1)

    module = Variance()
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.call})
    assert main(["slide-vectors", dataset, "--model", str(tmp_path / "m")]) == 3
    assert "1 slides whose vector is not finite: c" in capsys.readouterr().out
    assert list(vectors(dataset)[0]) == ["a", "b"]


def test_a_probe_of_the_vectors(tmp_path, capsys):
    slides = {f"s{n}": RANDOM.normal(size=(4, FEATURES)) + n % 2 for n in range(30)}
    dataset = write_slides(tmp_path / "d", slides)
    (tmp_path / "l.csv").write_text(
        "\n".join(["slide,label", *(f"s{n},{n % 2}" for n in range(30))])
    )

    def probe(name, *more):
        return main(["probe", dataset, "--labels", str(tmp_path / "l.csv"), "--C", "0.1", "--folds",
                     "3", "--fractions", "100", "--bootstrap", "100",
                     "--output", str(tmp_path / name), *more])  # fmt: skip

    assert main(["slide-vectors", dataset]) == 0
    assert probe("patches") == 0
    assert probe("vectors", "--slide_vectors") == 0
    of_patches, of_vectors = (
        json.loads((tmp_path / name / "metrics.json").read_text())["models"][0]["on"]["d"][
            "metrics"
        ]
        for name in ("patches", "vectors")
    )
    # The mean of the patches is what a probe takes of its own accord.
    assert of_vectors == of_patches
    # A dataset that has changed since.
    description = json.loads((tmp_path / "d" / "dataset.json").read_text())
    (tmp_path / "d" / "dataset.json").write_text(json.dumps({**description, "finished": "later"}))
    capsys.readouterr()
    assert probe("again", "--slide_vectors") == 2
    assert "was made before the dataset changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{films}"], "is a dataset of images, not slides"),
        (["{slides}", "--embedding", "uni"], "has no embeddings 'uni'"),
        (["{slides}", "--model", "{slides}/none"], "cannot be loaded"),
        (["{slides}", "--model", "{text}"], "is damaged, or no ONNX model"),
        (["{slides}", "--model", "{images}"], "must take embeddings [N, 6] or [1, N, 6]"),
        (["{none}"], "holds no finished dataset"),
    ],
)
def test_slide_vector_errors(dataset, tmp_path, capsys, arguments, message):
    class Images(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, name="images")])
        def call(self, images):
            return tf.reduce_mean(images, [1, 2])

    module = Images()
    tf.saved_model.save(module, str(tmp_path / "images"), {"serving_default": module.call})
    (tmp_path / "text.onnx").write_text("no model")
    places = {
        "slides": dataset, "images": tmp_path / "images", "text": tmp_path / "text.onnx",
        "films": write_films(tmp_path / "f", ["a.png"], np.zeros((1, 2))), "none": tmp_path / "n",
    }  # fmt: skip
    assert main(["slide-vectors", *(argument.format(**places) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
