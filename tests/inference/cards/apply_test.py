"""What a card fills, what flags override, and what is said and refused."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.cards.apply import with_card, with_card_of
from beamscope.transforms.inference.cards.card import parse_card
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_files import model_digest
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.inference import models

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISED = b"input_mean: [0.485, 0.456, 0.406]\ninput_std: [0.229, 0.224, 0.225]\n"


def filled(card: bytes, **given: Any) -> ModelSettings:
    return with_card(ModelSettings("m", **given), parse_card(card, "c.yaml"))


def test_a_card_fills_what_no_flag_says() -> None:
    card = b"input_size: 224\npooling: cls\nfeatures: 9\nmpp: 0.5\nlicense: ask\n" + NORMALISED
    found = filled(card)
    assert (found.input_size, found.input_mean, found.input_std) == (224, MEAN, STD)
    assert (found.pooling, found.token_pooling, found.features) == (None, "cls", 9)
    assert (found.card, found.card_mpp) == ("c.yaml", 0.5)
    assert set(found.from_card) == {"input_size", "input_mean", "input_std", "pooling", "features"}
    assert found.card_notes == ("model card c.yaml: ask",)


@pytest.mark.parametrize(
    ("card", "given", "expected", "note"),
    [
        (
            b"input_size: 224",
            {"input_size": 256},
            {"input_size": 256},
            "--input_size 256 instead of the card's 224",
        ),
        (b"input_size: 224", {"input_size": 224}, {"input_size": 224}, None),
        (
            b"pooling: cls\nfeatures: 9",
            {"pooling": "mean"},
            {"pooling": "mean", "token_pooling": None, "features": None},
            "--pooling mean instead of the card's cls",
        ),
        (
            NORMALISED,
            {"input_range": "-1..1"},
            {"input_range": "-1..1", "input_mean": None, "input_std": None},
            "--input_range -1..1 instead of the card's input_mean 0.485 0.456 0.406, input_std "
            "0.229 0.224 0.225",
        ),
        (
            b"input_range: 0..1\n" + NORMALISED,
            {"input_range": "0..1"},
            {"input_range": "0..1", "input_mean": MEAN},
            None,
        ),
        (
            b"input_range: -1..1",
            {"input_mean": MEAN, "input_std": STD},
            {"input_range": None, "input_mean": MEAN},
            "--input_mean 0.485 0.456 0.406, --input_std 0.229 0.224 0.225 instead of the card's "
            "input_range -1..1",
        ),
    ],
)
def test_flags_count_before_the_card(
    card: bytes, given: dict[str, Any], expected: dict[str, Any], note: str | None
) -> None:
    found = filled(card, **given)
    assert {key: getattr(found, key) for key in expected} == expected
    assert [text for text in found.card_notes if "instead" in text] == ([note] if note else [])
    assert not set(given) & set(found.from_card)


def test_a_card_counts_before_a_remedis_name() -> None:
    card = parse_card(b"input_range: -1..1\ninput_size: 224", "c.yaml")
    found = with_card(ModelSettings("path-50x1-remedis-m"), card)
    assert found.input_range == "-1..1"
    assert "input_range -1..1 of the card counts, not 0..1 by REMEDIS name" in found.card_notes
    assert not any("input_size" in note for note in found.card_notes)


def test_what_is_not_confirmed_is_said() -> None:
    found = filled(b"mpp: 0.5\nunconfirmed: [mpp]\nnote: wrap it")
    assert "not confirmed by a document of the model's makers: mpp" in found.card_notes
    assert "wrap it" in found.card_notes


def test_the_card_in_a_directory_is_found_and_is_no_part_of_the_digest(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", models.vectors)
    digest = model_digest(tmp_path / "m")
    assert with_card_of(ModelSettings(uri)) == ModelSettings(uri)
    for name in ("beamscope.yaml", "model.yaml"):
        (tmp_path / "m" / name).write_bytes(NORMALISED)
        assert with_card_of(ModelSettings(uri)).input_mean == MEAN
        assert with_card_of(ModelSettings(uri), card="none").input_mean is None
        assert model_digest(tmp_path / "m") == digest
        if name == "beamscope.yaml":
            (tmp_path / "m" / name).unlink()
    (tmp_path / "m" / "beamscope.yaml").write_bytes(b"input_size: 16")
    with pytest.raises(InputError, match=r"beamscope\.yaml: model\.yaml is there too: keep one"):
        with_card_of(ModelSettings(uri))
    named = tmp_path / "mine.yaml"
    named.write_bytes(b"channel_order: bgr")
    assert with_card_of(ModelSettings(uri), card=str(named)).channel_order == "bgr"


def test_the_card_of_the_version_that_is_taken(tmp_path: Path) -> None:
    served = tmp_path / "served"
    for version in ("1", "2", "11"):
        models.save(served / version, models.vectors)
        (served / version / "model.yaml").write_text(f"note: version {version}\n")
    found = with_card_of(ModelSettings(str(served)))
    assert found.card == str(served / "11" / "model.yaml")
    assert "version 11" in found.card_notes
    assert with_card_of(ModelSettings(str(served / "2"))).card_notes[-1] == "version 2"
    (served / "beamscope.yaml").write_text("note: of all\n")
    with pytest.raises(InputError, match=r"beamscope\.yaml: 11/model\.yaml is there too: keep one"):
        with_card_of(ModelSettings(str(served)))
    (served / "11" / "model.yaml").unlink()
    assert with_card_of(ModelSettings(str(served))).card_notes[-1] == "of all"


def test_cards_in_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card in the directory of a model, of a version of it, and beside an ONNX file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    models.save(tmp_path / "m", models.vectors)
    pixels = models.noise(2)
    with gcs_emulator(tmp_path) as bucket:
        for place in ("plain", "served/3"):
            for path in (tmp_path / "m").rglob("*"):
                if path.is_file():
                    name = path.relative_to(tmp_path / "m")
                    files.write_bytes(f"{bucket}/{place}/{name}", path.read_bytes())
            files.write_bytes(f"{bucket}/{place}/beamscope.yaml", b"input_range: -1..1\n")
        files.write_bytes(f"{bucket}/vit.yaml", b"input_size: 96\n")
        for uri, card in (("plain", "plain"), ("plain/", "plain"), ("served", "served/3")):
            settings = with_card_of(ModelSettings(f"{bucket}/{uri}", compile="none"))
            assert settings.card == f"{bucket}/{card}/beamscope.yaml"
            embedded = Embedder.from_settings(settings).embed(pixels)
            np.testing.assert_allclose(embedded, models.expected(pixels, -1, 1), atol=1e-4)
        assert with_card_of(ModelSettings(f"{bucket}/vit.onnx")).input_size == 96
        assert with_card_of(ModelSettings(f"{bucket}/nothing")).card is None
        assert with_card_of(ModelSettings("gs://no-such-bucket/m")).card is None


def test_the_card_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "vit.s.onnx").write_bytes(b"")
    (tmp_path / "model.yaml").write_bytes(b"input_size: 1")
    uri = str(tmp_path / "vit.s.onnx")
    assert with_card_of(ModelSettings(uri)).card is None
    (tmp_path / "vit.s.yaml").write_bytes(b"input_size: 96")
    found = with_card_of(ModelSettings(uri))
    assert (found.input_size, found.card) == (96, str(tmp_path / "vit.s.yaml"))
    preset = with_card_of(ModelSettings(uri), preset="uni")
    assert preset.input_size == 224
    assert f"--preset uni counts, and the card {tmp_path}/vit.s.yaml does not" in preset.card_notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"card": "absent.yaml"}, "model card absent.yaml: there is no such file"),
        ({"card": "/"}, "model card /: is a directory; give the file"),
        ({"card": "a.yaml", "preset": "uni"}, "--preset uni: --model_card is there too"),
        ({"preset": "resnet"}, "--preset must be one of conch"),
    ],
)
def test_with_card_of_errors(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_card_of(ModelSettings("m"), **options)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (b"input_size: 24", r"takes images of 16x16, and input_size of the card says 24 .*c\.yaml"),
        (b"features: 7", r"^model card c\.yaml: features: says 7, and the model m gives 5: is it"),
        (b"input_dtype: uint8", r"takes float32, and input_dtype of the card is uint8 .*c\.yaml"),
        (b"output_key: logits", r"has no output 'logits'"),
        (b"signature: other", r"has no signature 'other'"),
    ],
)
def test_a_card_that_contradicts_the_model(tmp_path: Path, card: bytes, message: str) -> None:
    uri = models.save(tmp_path / "m", models.vectors)
    with pytest.raises(InputError, match=message):
        open_model(with_card(ModelSettings(uri), parse_card(card, "c.yaml")))


def test_what_came_from_the_card_is_recorded(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", models.vectors)
    card = parse_card(b"input_size: 16\ninput_range: -1..1\nfeatures: 5\npooling: cls", "c.yaml")
    embedder = Embedder.from_settings(with_card(ModelSettings(uri, compile="none"), card))
    spec = embedder.spec.to_json()
    assert (spec["size_source"], spec["range_source"]) == ("card", "card")
    # It answers vectors, so that the card's pooling says nothing.
    assert spec["pooling"] == "none"
    assert spec["card"] == "c.yaml"
    assert sorted(spec["from_card"]) == ["features", "input_range", "input_size", "pooling"]
    pixels = models.noise(2)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels, -1, 1), atol=1e-4)


COLOURS = np.random.default_rng(5).normal(size=(3, 1280)).astype(np.float32)


class Tokens(tf.Module):
    """A class token, four register tokens, and 16x16 patches of 14 pixels, as Virchow2 has."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 224, 224], tf.float32)])
    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        pixels = tf.transpose(images, [0, 2, 3, 1])
        patches = tf.reshape(tf.nn.avg_pool2d(pixels, 14, 14, "VALID"), [-1, 256, 3]) @ COLOURS
        first = tf.reduce_max(pixels, [1, 2])[:, None] @ COLOURS
        return tf.concat([first, tf.ones_like(patches[:, :4]) * 9, patches], axis=1)


@pytest.mark.parametrize("how", ["none", "openvino", "xla"])
def test_the_preset_of_virchow2(tmp_path: Path, how: str) -> None:
    tf.saved_model.save(Tokens(), str(tmp_path / "m"))
    settings = ModelSettings(str(tmp_path / "m"), compile=how, batch_size=2)
    embedder = Embedder.from_settings(with_card_of(settings, preset="virchow2"))
    assert (embedder.fallback, embedder.spec.first_patch) == (None, 5)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), np.uint8)
    values = (pixels / 255 - MEAN) / STD
    expected = np.hstack([values.max(axis=(1, 2)) @ COLOURS, values.mean(axis=(1, 2)) @ COLOURS])
    np.testing.assert_allclose(embedder.embed(pixels), expected, rtol=1e-3, atol=1e-3)


def test_the_preset_of_conch(tmp_path: Path) -> None:
    weights = np.random.default_rng(2).normal(size=(3, 512)).astype(np.float32)

    def call(network: models.Network, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(images, [1, 2]) @ tf.constant(weights)

    uri = models.save(tmp_path / "m", call, spec=models.ANY_SIZE)
    embedder = Embedder.from_settings(with_card_of(ModelSettings(uri), preset="conch"))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 448, 448, 3), np.uint8)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = ((pixels / 255 - mean) / std).mean(axis=(1, 2)) @ weights
    np.testing.assert_allclose(embedder.embed(pixels), expected, rtol=1e-3, atol=1e-3)
    shutil.rmtree(tmp_path / "m")
