"""Pixels as a SavedModel's input wants them, computed as a part of its graph."""

from __future__ import annotations

import tensorflow as tf

from beamscope.transforms.inference.model_settings import INPUT_RANGES, INTEGER_DTYPES, Layout

# Luma of Rec. ITU-R BT.601; of equal channels, as X-ray films have, it is their grey level.
_LUMA = (0.299, 0.587, 0.114)


def prepare(
    pixels: tf.Tensor, dtype: str, input_range: str, layout: Layout, channels: int
) -> tf.Tensor:
    """Take pixels to the dtype, range and layout of a model's input.

    Args:
      pixels: uint8 RGB ``[B, H, W, 3]``.
      dtype: of the result; the integers of `INTEGER_DTYPES` take grey levels as they are.
      input_range: what black..white becomes, a key of `INPUT_RANGES`.
      layout: where the channels of the result are.
      channels: 3; 1 for luma; 0 for luma without an axis of channels.
    """
    images = pixels
    if channels != 3:
        images = tf.reduce_sum(tf.cast(images, tf.float32) * _LUMA, axis=3, keepdims=True)
        if dtype in INTEGER_DTYPES:
            images = tf.round(images)
    if dtype not in INTEGER_DTYPES:
        factor, offset = INPUT_RANGES[input_range]
        images = tf.cast(images, tf.float32)
        if factor != 1.0:
            images = images * factor
        if offset != 0.0:
            images = images + offset
    if channels == 0:
        images = tf.squeeze(images, axis=3)
    elif layout == "channels_first":
        images = tf.transpose(images, [0, 3, 1, 2])
    return images if images.dtype == dtype else tf.cast(images, dtype)
