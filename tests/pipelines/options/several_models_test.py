"""Names of several models, and of the columns that they fill."""

import argparse
import copy
import pickle

import pytest

from beamscope.pipelines.options.command_line import place
from beamscope.pipelines.options.several_models import (
    arguments_of_each,
    column_names,
    named_model,
)
from beamscope.transforms.problems import InputError

model_uri = named_model(place("--model"))


@pytest.mark.parametrize(
    ("text", "uri", "name"),
    [
        ("/models/uni", "/models/uni", ""),
        ("uni=/models/u", "/models/u", "uni"),
        ("A_1=gs://bucket/m", "gs://bucket/m", "A_1"),
        ("./a=b", "a=b", ""),
        ("gs://bucket/a=b", "gs://bucket/a=b", ""),
        ("/a=b/m", "/a=b/m", ""),
        ("x=/a=b/m", "/a=b/m", "x"),
    ],
)
def test_name_and_path(text, uri, name):
    found = model_uri(text)
    assert (str(found).removeprefix("./"), found.name) == (uri, name)
    for same in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert (same, same.name) == (found, name)


@pytest.mark.parametrize(
    ("texts", "columns"),
    [
        (["/models/uni"], ["embedding"]),
        (["uni=/models/u"], ["embedding"]),
        (["/models/uni", "/models/virchow2/"], ["embedding_uni", "embedding_virchow2"]),
        (["a=/models/uni", "/models/uni"], ["embedding_a", "embedding_uni"]),
        (["/m/BiT 50x1 (v2)", "/m/cxr.onnx"], ["embedding_BiT_50x1_v2", "embedding_cxr"]),
        (["/served/path/1", "/served/cxr/2"], ["embedding_path", "embedding_cxr"]),
        (["gs://b/m-1/", "1=gs://b/m-2"], ["embedding_m_1", "embedding_1"]),
    ],
)
def test_columns(texts, columns):
    assert column_names([model_uri(text) for text in texts]) == columns


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["/a/uni", "/b/uni"], "/a/uni and /b/uni would both have the column embedding_uni"),
        (["/a/uni", "UNI=/b/c"], "would both have the column"),
        (["/a/m-1", "/a/m.1"], "would both have the column embedding_m_1"),
        (["/a/uni", "/a/模型"], "makes no name of a column; name it: --model NAME=/a/模型"),
    ],
)
def test_columns_errors(texts, message):
    with pytest.raises(InputError, match="--model") as caught:
        column_names([model_uri(text) for text in texts])
    assert message in caught.value.message


def test_arguments_of_each():
    models = [model_uri("a"), model_uri("b")]
    args = argparse.Namespace(model=models, model_sha256=["1", "2"], pooling="cls")
    assert [(one.model, one.model_sha256, one.pooling) for one in arguments_of_each(args)] == [
        ("a", "1", "cls"),
        ("b", "2", "cls"),
    ]
    args.model_sha256 = ["1"]
    with pytest.raises(InputError, match="once for each --model, in their order, got 1 for 2"):
        arguments_of_each(args)
