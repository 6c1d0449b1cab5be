from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.backends.saved_model.freezing import freeze
from beamscope.transforms.inference.backends.saved_model.mixed_precision import lowered
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings, Precision
from beamscope.transforms.inference.trial_images import structured_images
from tests.inference import models
from tests.shared_data import shared

BATCH = 2
# TensorFlow lowers to bfloat16 only where oneDNN computes it: with one of these instructions.
COMPUTES_BFLOAT16 = {"avx512f", "avx_ne_convert"}


def computes(precision: Precision) -> bool:
    flags = Path("/proc/cpuinfo").read_text(errors="replace").split()
    return precision == "float16" or not COMPUTES_BFLOAT16.isdisjoint(flags)


@pytest.mark.parametrize(("precision", "cosine"), [("float16", 0.99999), ("bfloat16", 0.9995)])
@pytest.mark.parametrize("jit", [False, True])
def test_squeezenet(precision: Precision, cosine: float, jit: bool) -> None:
    loaded = open_model(
        ModelSettings(str(shared("models/squeezenet11-imagenet")), batch_size=BATCH)
    )
    frozen = freeze(loaded.traced(BATCH))
    if not computes(precision):
        with pytest.raises(ValueError, match=f"can be computed in {precision}"):
            lowered(frozen, precision)
        return
    graph = lowered(frozen, precision)
    wanted = tf.as_dtype(precision).as_datatype_enum
    convolutions = [node for node in graph.graph.node if node.op == "Conv2D"]
    assert len(convolutions) > 20
    assert {node.attr["T"].type for node in convolutions} == {wanted}
    pixels = structured_images(BATCH, 224)
    (computed,) = tf.function(graph.function(), jit_compile=jit)(tf.constant(pixels))
    assert computed.dtype == tf.float32
    plain = loaded.call(loaded.prepare(tf.constant(pixels)))
    assert compare(computed.numpy(), plain.numpy())[0] >= cosine


def positions(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(images[:, 0], axis=1), tf.float32)


def test_nothing_to_lower_is_an_error(tmp_path: Path) -> None:
    loaded = open_model(ModelSettings(models.save(tmp_path / "m", positions), batch_size=BATCH))
    frozen = freeze(loaded.traced(BATCH))
    with pytest.raises(ValueError, match="no operation of the model can be computed in bfloat16"):
        lowered(frozen, "bfloat16")


def test_pixels_stay_bytes(tmp_path: Path) -> None:
    loaded = open_model(
        ModelSettings(models.save(tmp_path / "m", models.vectors), batch_size=BATCH)
    )
    graph = lowered(freeze(loaded.traced(BATCH)), "float16")
    pixels = models.noise(BATCH)
    (computed,) = graph.function()(tf.constant(pixels, tf.uint8))
    np.testing.assert_allclose(computed.numpy(), models.expected(pixels), atol=1e-2)
