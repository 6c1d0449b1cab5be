import numpy as np
import pytest

from beamscope.transforms.inference.model_settings import Layout, Pooling
from beamscope.transforms.inference.output_shapes import OutputReading, pooled, read_output
from beamscope.transforms.problems import InputError

LAST, FIRST = "channels_last", "channels_first"


@pytest.mark.parametrize(
    ("shape", "pooling", "layout", "other", "expected"),
    [
        ((2048,), None, None, None, (LAST, "none", 0, 2048)),
        ((2048,), "none", None, None, (LAST, "none", 0, 2048)),
        # Feature maps: the channels are beside the two equal axes.
        ((7, 7, 2048), None, None, None, (LAST, "mean", 0, 2048)),
        ((64, 7, 7), None, None, None, (FIRST, "mean", 0, 64)),
        ((1, 1, 512), None, None, None, (LAST, "mean", 0, 512)),
        ((512, 1, 1), None, None, None, (FIRST, "mean", 0, 512)),
        ((7, 7, 3), "mean", None, None, (LAST, "mean", 0, 3)),
        ((64, 7, 7), "none", None, None, (FIRST, "none", 0, 3136)),
        # All alike: the axes that keep their length tell, or the user.
        ((8, 8, 8), None, None, (16, 16, 8), (LAST, "mean", 0, 8)),
        ((8, 8, 8), None, None, (8, 16, 16), (FIRST, "mean", 0, 8)),
        ((8, 8, 8), None, FIRST, None, (FIRST, "mean", 0, 8)),
        ((8, 8, 8), None, LAST, None, (LAST, "mean", 0, 8)),
        ((6, 7, 64), None, None, (12, 14, 64), (LAST, "mean", 0, 64)),
        # Tokens.
        ((197, 768), "cls", None, None, (LAST, "cls", 0, 768)),
        ((197, 768), "mean", None, None, (LAST, "mean", 0, 768)),
        ((197, 768), "mean_patches", None, None, (LAST, "mean_patches", 1, 768)),
        ((201, 768), "mean_patches", None, None, (LAST, "mean_patches", 5, 768)),
        ((265, 1536), "mean_patches", None, None, (LAST, "mean_patches", 9, 1536)),
        ((196, 384), "mean_patches", None, None, (LAST, "mean_patches", 0, 384)),
        ((261, 1280), "cls_mean_patches", None, None, (LAST, "cls_mean_patches", 5, 2560)),
        ((197, 768), "none", None, None, (LAST, "none", 0, 197 * 768)),
        ((1, 768), None, None, None, (LAST, "mean", 0, 768)),
        ((384, 196), "mean", None, (384, 784), (FIRST, "mean", 0, 384)),
        ((384, 196), "mean", FIRST, None, (FIRST, "mean", 0, 384)),
    ],
)
def test_read_output(
    shape: tuple[int, ...],
    pooling: Pooling | None,
    layout: Layout | None,
    other: tuple[int, ...] | None,
    expected: tuple[Layout, Pooling, int, int],
) -> None:
    found = read_output("m", shape, pooling=pooling, layout=layout, other=lambda: other)
    assert found == OutputReading(*expected)


def test_read_output_asks_for_another_size_only_where_the_shape_does_not_tell() -> None:
    def other() -> None:
        raise AssertionError("not asked for")

    for shape in ((64,), (7, 7, 64), (64, 7, 7)):
        read_output("m", shape, other=other)


@pytest.mark.parametrize(
    ("shape", "pooling", "message"),
    [
        ((), None, r"answers an image with shape \[\], not with a vector"),
        ((7, 0, 64), None, r"with shape \[7, 0, 64\]"),
        ((2, 7, 7, 64), None, r"\[2, 7, 7, 64\], not with .*--output_key.*docs/models.md"),
        (
            (8, 8, 8),
            None,
            "--output_layout channels_last reads 8x8 positions of 8 features, channels_first reads "
            "8x8 positions of 8 features",
        ),
        ((6, 7, 64), None, "channels_last reads 6x7 positions of 64 .* 7x64 positions of 6"),
        ((197, 768), None, "197 tokens of 768 features: choose by --pooling: cls .*14x14 patches "
                           "after the first 1, cls_mean_patches .*, none takes all 151296"),
        ((196, 384), None, "those of 14x14 patches, none takes"),
        ((60, 384), None, "mean_patches averages those of 7x7 patches after the first 11"),
        ((2048,), "cls", "^--pooling cls: model m answers one vector: leave the flag out"),
        ((2048,), "mean", "^--pooling mean: model m answers one vector"),
        ((7, 7, 64), "cls", "^--pooling cls: .*feature map .* has no tokens: use mean or none"),
        ((196, 64), "cls_mean_patches", "none of which is a class token: use mean"),
        ((250, 64), "mean_patches", "nothing tells which are patches of a square image"),
    ],
)  # fmt: skip
def test_read_output_errors(shape: tuple[int, ...], pooling: Pooling | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_output("m", shape, pooling=pooling)
    assert raised.value.kind == ("bad_option" if pooling else "bad_model")


@pytest.mark.parametrize(
    ("shape", "pooling", "layout", "expected"),
    [
        ((6,), None, None, lambda y: y),
        ((2, 2, 5), None, None, lambda y: y.sum(axis=(1, 2)) / 4),
        ((5, 2, 2), None, None, lambda y: y.sum(axis=(2, 3)) / 4),
        ((5, 2, 2), "none", None, lambda y: y.transpose(0, 2, 3, 1).reshape(2, -1)),
        ((5, 3), "cls", None, lambda y: y[:, 0, :]),
        ((5, 3), "mean", None, lambda y: y.sum(axis=1) / 5),
        ((5, 3), "mean_patches", None, lambda y: (y[:, 1] + y[:, 2] + y[:, 3] + y[:, 4]) / 4),
        ((3, 5), "mean_patches", FIRST, lambda y: y[:, :, 1:].sum(axis=2) / 4),
        (
            (5, 3),
            "cls_mean_patches",
            None,
            lambda y: np.hstack([y[:, 0], (y[:, 1] + y[:, 2] + y[:, 3] + y[:, 4]) / 4]),
        ),
        ((5, 3), "none", None, lambda y: y.reshape(2, 15)),
    ],
)
def test_pooled(shape, pooling, layout, expected) -> None:
    output = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    reading = read_output("m", shape, pooling=pooling, layout=layout)
    found = pooled(output, reading)
    assert found.shape == (2, reading.features)
    np.testing.assert_allclose(found, expected(output), rtol=1e-5, atol=1e-6)
