import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from beamscope.transforms.inference.bit.weights import (
    ARCHITECTURES,
    check_weights,
    find_architecture,
    load_npz,
    random_weights,
)
from beamscope.transforms.problems import InputError

ROOT = "resnet/root_block/standardized_conv2d/kernel"
LAST_BETA = "resnet/group_norm/beta"


@pytest.fixture(scope="module")
def weights():
    return random_weights("50x1", 3)


# Counts of resnetv2_50x1_bit and resnetv2_152x2_bit of timm 1.0.31 with num_classes=0.
@pytest.mark.parametrize(
    ("name", "arrays", "parameters", "features"),
    [("50x1", 151, 23_500_352, 2048), ("152x2", 457, 232_238_208, 4096)],
)
def test_architecture_has_the_size_of_timms(name, arrays, parameters, features):
    architecture = ARCHITECTURES[name]

    assert len(architecture.shapes()) == arrays
    assert architecture.parameters() == parameters
    assert architecture.features == features


@pytest.mark.parametrize(
    ("architecture", "name", "shape"),
    [
        ("50x1", ROOT, (7, 7, 3, 64)),
        ("50x1", "resnet/block1/unit01/a/group_norm/gamma", (64,)),
        ("50x1", "resnet/block1/unit01/a/standardized_conv2d/kernel", (1, 1, 64, 64)),
        ("50x1", "resnet/block1/unit01/a/proj/standardized_conv2d/kernel", (1, 1, 64, 256)),
        ("50x1", "resnet/block1/unit02/a/standardized_conv2d/kernel", (1, 1, 256, 64)),
        ("50x1", "resnet/block2/unit01/b/standardized_conv2d/kernel", (3, 3, 128, 128)),
        ("50x1", "resnet/block4/unit03/c/standardized_conv2d/kernel", (1, 1, 512, 2048)),
        ("50x1", LAST_BETA, (2048,)),
        ("152x2", ROOT, (7, 7, 3, 128)),
        ("152x2", "resnet/block3/unit01/a/proj/standardized_conv2d/kernel", (1, 1, 1024, 2048)),
        ("152x2", "resnet/block3/unit36/c/group_norm/beta", (512,)),
        ("152x2", "resnet/block4/unit03/b/standardized_conv2d/kernel", (3, 3, 1024, 1024)),
    ],
)
def test_shapes(architecture, name, shape):
    assert ARCHITECTURES[architecture].shapes()[name] == shape


@pytest.mark.parametrize(
    "name",
    [
        "resnet/block1/unit02/a/proj/standardized_conv2d/kernel",
        "resnet/block1/unit04/a/standardized_conv2d/kernel",
        "resnet/head/conv2d/kernel",
    ],
)
def test_shapes_have_no(name):
    assert name not in ARCHITECTURES["50x1"].shapes()


@pytest.mark.parametrize(
    ("name", "found"), [("50x1", "50x1"), ("152x2", "152x2"), ("52x2", "152x2")]
)
def test_find_architecture(name, found):
    assert find_architecture(name).name == found


@pytest.mark.parametrize("name", ["", "50", "101x1", "50X1"])
def test_find_architecture_errors(name):
    with pytest.raises(InputError, match=repr(name)) as error:
        find_architecture(name)
    assert error.value.kind == "bad_architecture"


def test_random_weights_follow_from_the_seed(weights):
    again = random_weights("50x1", 3)
    other = random_weights("50x1", 4)

    assert list(weights) == list(again)
    for name, array in weights.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, again[name])
        assert not np.array_equal(array, other[name])


def test_random_weights_fit_the_architecture(weights):
    check_weights(weights, ARCHITECTURES["50x1"])

    name = "resnet/block4/unit01/b/standardized_conv2d/kernel"
    assert weights[name].std() == pytest.approx(np.sqrt(2 / (3 * 3 * 512)), rel=0.01)


def test_weights_need_no_tensorflow():
    module = "beamscope.transforms.inference.bit.weights"
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_load_npz_leaves_the_head_out(tmp_path, weights, dtype):
    path = tmp_path / "BiT-M-R50x1.npz"
    head = {
        "resnet/head/conv2d/kernel": np.zeros((1, 1, 2048, 10), dtype),
        "resnet/head/conv2d/bias": np.zeros(10, dtype),
    }
    np.savez(path, **{name: array.astype(dtype) for name, array in weights.items()}, **head)

    loaded = load_npz(path, "50x1")

    assert set(loaded) == set(weights)
    for name, array in weights.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], array.astype(dtype).astype(np.float32))


def _without(weights, name):
    return {key: array for key, array in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {}, f"{ROOT} of 50x1 is missing"),
        (lambda w: _without(w, LAST_BETA), f"{LAST_BETA} of 50x1 is missing"),
        (
            lambda w: w | {ROOT: np.zeros((64, 3, 7, 7), np.float32)},
            rf"{ROOT} has shape \(64, 3, 7, 7\), 50x1 needs \(7, 7, 3, 64\)",
        ),
        (
            lambda w: w | {LAST_BETA: np.zeros(4096, np.float32)},
            rf"{LAST_BETA} has shape \(4096,\), 50x1 needs \(2048,\)",
        ),
        (
            lambda w: w | {LAST_BETA: np.full(2048, np.nan, np.float32)},
            rf"{LAST_BETA} \(float32\) is not all finite",
        ),
        (
            lambda w: w | {LAST_BETA: np.zeros(2048, np.int32)},
            rf"{LAST_BETA} \(int32\) is not all finite",
        ),
        (
            lambda w: w | {"resnet/block1/unit04/a/group_norm/beta": np.zeros(256, np.float32)},
            "resnet/block1/unit04/a/group_norm/beta belongs to no layer of 50x1",
        ),
    ],
)
def test_check_weights_errors(weights, change, message):
    with pytest.raises(InputError, match=message) as error:
        check_weights(change(weights), ARCHITECTURES["50x1"])
    assert error.value.kind == "bad_weights"


def _cut(path):
    np.savez(path, **{ROOT: np.zeros((7, 7, 3, 64), np.float32)})
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b""), "is an empty file, not an .npz file"),
        (lambda path: path.write_text("<html>not found</html>"), "is a web page "),
        (lambda path: path.write_text("\n<!DOCTYPE html><html>"), "is a web page "),
        (lambda path: path.write_bytes(pickle.dumps([1])), "is a pickle, which could run any"),
        (lambda path: path.write_text("version https://git-lfs.github.com"), "pointer of Git LFS"),
        (lambda path: path.write_bytes(b"something else"), "is other data, not an .npz file"),
        (_cut, "cannot read"),
        (lambda path: np.save(path.open("wb"), np.zeros(3)), "is a single array"),
        (lambda path: np.savez(path, **{ROOT: np.array([None])}), "holds pickled objects, which"),
        (lambda path: np.savez(path, other=np.zeros(3)), f"{ROOT} of 152x2 is missing"),
    ],
)
def test_load_npz_errors(tmp_path, write, message):
    path = tmp_path / "weights.npz"
    write(path)

    with pytest.raises(InputError, match=message) as error:
        load_npz(path, "152x2")
    assert error.value.kind == "bad_weights"
    assert str(path) in error.value.message
    assert "\n" not in error.value.message


def test_load_npz_names_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "weights.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(ROOT, "text")

    with pytest.raises(InputError, match=rf"{ROOT} has shape \(\)"):
        load_npz(path, "50x1")
