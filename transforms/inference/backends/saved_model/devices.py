"""The accelerators that TensorFlow can use."""

from __future__ import annotations

import tensorflow as tf

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees, such as ``/physical_device:GPU:0``."""
    return [device.name for device in tf.config.list_physical_devices("GPU")]


def require_gpu() -> None:
    """Raise InputError (``no_gpu``) unless TensorFlow sees a GPU."""
    if not gpus():
        built = "is built with CUDA" if tf.test.is_built_with_cuda() else "is built without CUDA"
        raise InputError(
            Kind.NO_GPU,
            f"a GPU is required and TensorFlow {tf.__version__}, which {built}, sees none",
        )


def grow_gpu_memory() -> None:
    """Let TensorFlow take GPU memory as it needs it, not all of it at its first step.

    Several worker processes can then share one GPU. Call it before the first computation: where
    TensorFlow is in use already, its memory stays as it is.
    """
    for device in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(device, True)
        except RuntimeError:  # "Physical devices cannot be modified after being initialized"
            return


def forbid_tensor_float() -> None:
    """Switch TF32 off, by which GPUs round the factors of float32 products to 10 bits.

    Embeddings then agree between machines with and without a GPU; for speed there is float16.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
