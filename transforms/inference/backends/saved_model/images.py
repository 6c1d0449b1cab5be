"""Pixels as a SavedModel's input wants them, computed as a part of its graph."""

from __future__ import annotations

import tensorflow as tf

from beamscope.transforms.inference.model_settings import Layout
from beamscope.transforms.inference.preprocessing import LUMA, PixelMap


def prepare(
    pixels: tf.Tensor, arithmetic: PixelMap, dtype: str, layout: Layout, channels: int
) -> tf.Tensor:
    """Take pixels to the dtype, values and layout of a model's input.

    Args:
      pixels: uint8 RGB ``[B, H, W, 3]``.
      arithmetic: what becomes of the grey levels.
      dtype: of the result.
      layout: where the channels of the result are.
      channels: 3; 1 for luma; 0 for luma without an axis of channels.
    """
    images = pixels
    if arithmetic.channels is None:
        images = tf.reduce_sum(tf.cast(images, tf.float32) * LUMA, axis=3, keepdims=True)
        images = tf.round(images) if arithmetic.integers else images
    elif arithmetic.reorders:
        # Before the cast: bytes are moved, not floats. Slices and not `gather`, because compilers
        # fold them into the convolution's weights or the copy.
        images = tf.concat([images[..., index : index + 1] for index in arithmetic.channels], 3)
    if not arithmetic.integers:
        images = tf.cast(images, tf.float32)
        if arithmetic.multiplies:
            images = images * _constant(arithmetic.factor)
        if arithmetic.adds:
            images = images + _constant(arithmetic.offset)
    if channels == 0:
        images = tf.squeeze(images, axis=3)
    elif layout == "channels_first":
        images = tf.transpose(images, [0, 3, 1, 2])
    return images if images.dtype == dtype else tf.cast(images, dtype)


def _constant(values: tuple[float, ...]) -> float | tuple[float, ...]:
    return values[0] if len(values) == 1 else values
