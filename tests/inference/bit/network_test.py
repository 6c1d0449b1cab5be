import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.bit.network import BitResNet, save_model
from beamscope.transforms.inference.bit.weights import load_npz, random_weights
from beamscope.transforms.problems import InputError
from tests.inference.golden.make_bit_golden import CHANNELS, GOLDEN, cases


@pytest.fixture(scope="module")
def weights():
    return random_weights("50x1", 1)


@pytest.fixture(scope="module")
def network(weights):
    return BitResNet("50x1", weights)


@pytest.fixture(scope="module")
def images():
    """Two of noise, one of smooth colours, one black."""
    random = np.random.default_rng(5)
    ramp = np.linspace(0, 1, 224, dtype=np.float32)
    smooth = np.stack([*np.meshgrid(ramp, ramp), np.full((224, 224), 0.7, np.float32)], axis=-1)
    noise = random.random((2, 224, 224, 3), np.float32)
    return np.concatenate([noise, smooth[None], np.zeros_like(noise[:1])])


@pytest.fixture(scope="module")
def saved(tmp_path_factory, weights):
    """A model that has been through an .npz file and a SavedModel, by way of the defaults."""
    folder = tmp_path_factory.mktemp("bit")
    np.savez(folder / "weights.npz", **weights)
    directory = folder / "models" / "path-50x1"
    save_model(
        directory,
        architecture="50x1",
        modality="path",
        weights=load_npz(folder / "weights.npz", "50x1"),
    )
    return directory


@pytest.mark.parametrize("case", ["even", "odd", "faint", "tiny_kernels"])
def test_feature_map_is_that_of_timm(case):
    case_weights, case_images = cases()[case]
    with np.load(GOLDEN) as golden:
        expected = golden[case]

    features = BitResNet("50x1", case_weights)(case_images).numpy()[..., CHANNELS]

    assert np.abs(features - expected).max() <= 1e-4 * np.abs(expected).max()


def test_random_weights_tell_images_apart(network, images):
    features = network(images).numpy()

    assert features.shape == (4, 7, 7, 2048)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    pooled = features.mean(axis=(1, 2))
    lengths = np.linalg.norm(pooled, axis=1)
    assert (lengths > 0.1).all()
    cosines = (pooled / lengths[:, None]) @ (pooled / lengths[:, None]).T
    assert cosines[~np.eye(4, dtype=bool)].max() < 0.95


def test_features_of_an_image_do_not_depend_on_its_batch(network, images):
    # Without the black one: norms that divide by next to nothing magnify its rounding.
    crops = images[:3, 64:128, 64:128]
    together = network(crops).numpy()
    alone = np.concatenate([network(crop[None]).numpy() for crop in crops])

    np.testing.assert_allclose(together, alone, atol=1e-4 * together.max())


def test_saved_model_is_called_as_an_object(saved, network, images):
    model = tf.saved_model.load(str(saved))

    np.testing.assert_allclose(model(images), network(images), atol=1e-4)
    assert model(images[:1]).shape == (1, 7, 7, 2048)
    with pytest.raises(TypeError, match="224"):
        model(images[:, :223])


def test_saved_model_has_no_signature_and_leaves_nothing_beside_it(saved):
    assert dict(tf.saved_model.load(str(saved)).signatures) == {}
    assert [path.name for path in saved.parent.iterdir()] == ["path-50x1"]


def test_saved_model_has_the_signature_asked_for(tmp_path, weights, network):
    save_model(
        tmp_path,  # exists, and is empty
        architecture="50x1",
        modality="cxr",
        weights=weights,
        signature="embed",
    )
    model = tf.saved_model.load(str(tmp_path))
    images = np.random.default_rng(6).random((1, 448, 448, 3), np.float32)

    assert list(model.signatures) == ["embed"]
    answer = model.signatures["embed"](inputs=tf.constant(images))
    assert list(answer) == ["feature_map"]
    assert answer["feature_map"].shape == (1, 14, 14, 2048)
    np.testing.assert_allclose(answer["feature_map"], model(images), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "kind", "value"),
    [
        ({"modality": "ct"}, "bad_modality", "'ct'"),
        ({"architecture": "18x1"}, "bad_architecture", "'18x1'"),
        ({"architecture": "152x2"}, "bad_weights", "resnet/root_block"),
        ({"weights": {}}, "bad_weights", "resnet/root_block"),
        ({"signature": ""}, "bad_signature", "''"),
        ({"signature": "__saved_model_init_op"}, "bad_signature", "__saved_model_init_op"),
        ({"directory": "gs://bucket/model"}, "not_local", "gs://bucket/model"),
        ({"directory": "file"}, "exists", "file"),
        ({"directory": "full"}, "exists", "full"),
        ({"directory": "file/model"}, "unwritable", "file/model"),
    ],
)
def test_save_model_errors(tmp_path, monkeypatch, weights, change, kind, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "saved_model.pb").write_text("kept")
    arguments = {"architecture": "50x1", "modality": "path", "weights": weights} | change

    with pytest.raises(InputError) as error:
        save_model(**{"directory": "model"} | arguments)

    assert error.value.kind == kind
    assert value in error.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
    assert (tmp_path / "full" / "saved_model.pb").read_text() == "kept"


def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch, weights):
    def half_written(exported, directory, signatures):
        with open(f"{directory}/saved_model.pb", "w") as file:  # noqa: PTH123
            file.write("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "save", half_written)

    with pytest.raises(KeyboardInterrupt):
        save_model(tmp_path / "model", architecture="50x1", modality="path", weights=weights)
    assert list(tmp_path.iterdir()) == []
