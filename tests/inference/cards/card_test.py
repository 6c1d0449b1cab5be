"""Cards are parsed strictly: what is wrong is one line with the card, the key and the value."""

import pytest

from beamscope.transforms.inference.cards.card import KEYS, ModelCard, parse_card
from beamscope.transforms.inference.cards.find_card import preset_card, presets
from beamscope.transforms.problems import InputError

FULL = """
name: UNI
input_size: 224
input_layout: channels_first
input_dtype: float32
input_range: 0..1
input_mean: [0.485, 0.456, 0.406]
input_std: [1, 1, 1]
channel_order: bgr
resize: bicubic
signature: serving_default
output_key: tokens
output_layout: channels_last
pooling: cls_mean_patches
features: 2048
mpp: 0.5
license: " ask µ "
source: [a, b]
unconfirmed: [features, mpp]
note: none
"""


def test_every_key_is_read() -> None:
    card = parse_card(FULL.encode(), "c.yaml")
    assert card == ModelCard(
        place="c.yaml",
        name="UNI",
        input_size=224,
        input_layout="channels_first",
        input_dtype="float32",
        input_range="0..1",
        input_mean=(0.485, 0.456, 0.406),
        input_std=(1.0, 1.0, 1.0),
        channel_order="bgr",
        resize="bicubic",
        signature="serving_default",
        output_key="tokens",
        output_layout="channels_last",
        pooling="cls_mean_patches",
        features=2048,
        mpp=0.5,
        license="ask µ",
        source=("a", "b"),
        unconfirmed=("features", "mpp"),
        note="none",
    )
    assert set(card.said()) == set(KEYS)
    assert parse_card(card.to_yaml(), "c.yaml") == card


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a mapping of keys like input_size, but None"),
        ("- 1", "is not a mapping of keys"),
        ("input_size: [", "is not YAML: "),
        ("\x00", "is not YAML: "),
        ("!!python/object/apply:os.getcwd []", "is not YAML: "),
        ("input_size: 224\ninput_size: 256", "is not YAML: the key input_size is there twice"),
        ("? [a]\n: 1", "is not YAML: "),
        ("size: 224", "has the unknown key 'size': use name, input_size, input_layout, "),
        ("1: 224", "has the unknown key 1: use name"),
        ("input_size: 0", "input_size: must be a whole number from 1 to 65536, got 0"),
        ("input_size: 224.0", "input_size: must be a whole number .*, got 224.0"),
        ("input_size: true", "input_size: must be a whole number .*, got True"),
        ("input_size: '224'", "input_size: must be a whole number .*, got '224'"),
        ("input_size:", "input_size: must be a whole number .*, got None"),
        ("input_range: 0-1", "input_range: must be one of 0..1, -1..1, 0..255, got '0-1'"),
        ("input_layout: NCHW", "input_layout: must be one of channels_last, channels_first, got"),
        ("input_dtype: int8", "input_dtype: must be one of float32, .*, got 'int8'"),
        ("channel_order: RGB", "channel_order: must be one of rgb, bgr, got 'RGB'"),
        ("pooling: max", "pooling: must be one of none, mean, .*, got 'max'"),
        ("resize: cubic", "resize: must be one of nearest, bilinear, .*, got 'cubic'"),
        ("input_mean: [1, 2]", "input_mean: must be one number, or a list of three, got"),
        ("input_mean: [a, b, c]", "input_mean: must be one number, or a list of three, got"),
        ("input_mean: [0.5, 0.5, 0.5]", "input_mean: give input_std too"),
        (
            "input_mean: 123.7\ninput_std: 58.4",
            "input_mean 123.7 input_std 58.4: must lie within the input range 0..1 .or add "
            "input_range 0..255",
        ),
        ("input_mean: .nan\ninput_std: 1", "input_mean must be finite"),
        ("input_mean: 0.5\ninput_std: 0", "input_std must be above 0, got 0"),
        ("mpp: -1", "mpp: must be a number above 0 and at most 1000, got -1"),
        ("license: |\n  a\n  b", "license: must be a text of one line, got"),
        ("source: [1]", r"source: must be a text of one line, or a list of such, got \[1\]"),
        ("unconfirmed: [sizes]", "unconfirmed: must be a list of keys of the card"),
        ("unconfirmed: [mpp]", "unconfirmed: names mpp, which the card does not give"),
        ("name: " + "x" * 70_000, "has 70,006 bytes, and a card at most 65,536"),
    ],
)
def test_parse_card_errors(text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"^model card c\.yaml: {message}") as raised:
        parse_card(text.encode(), "c.yaml")
    assert raised.value.kind == "bad_card"
    assert "\n" not in raised.value.message


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InputError, match="is not YAML: "):
        parse_card(b"\xff\xfe\xff", "c.yaml")


@pytest.mark.parametrize("name", presets())
def test_every_preset_says_its_licence_and_sources(name: str) -> None:
    card = preset_card(name)
    assert card.place == f"preset {name}"
    assert card.license
    assert card.source
    # Citations name documents; addresses go stale.
    assert not any("://" in text for text in card.source)
    assert ("input_size" in card.said()) == (name != "cxr-foundation")


def test_an_unknown_preset() -> None:
    with pytest.raises(InputError, match=r"--preset must be one of conch, .*, got '\.\./card'"):
        preset_card("../card")
