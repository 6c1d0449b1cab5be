"""The BiT ResNet-v2 of the REMEDIS models, and its export as a TensorFlow 2 SavedModel.

A ResNet of pre-activation bottleneck units with group norms and weight-standardised convolutions
(https://arxiv.org/abs/1912.11370). The original BiT takes images in [-1, 1]; the REMEDIS models
take [0, 1] and subtract no mean. This one follows REMEDIS and uses its input as it is given: an
official BiT ``.npz`` gives the features of BiT itself only for images scaled to [-1, 1].
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beamscope.transforms.inference.bit.weights import (
    FINAL_NORM,
    INPUT_SIZE,
    ROOT_KERNEL,
    Unit,
    check_weights,
    find_architecture,
    kernel_name,
    norm_name,
    projection_name,
)
from beamscope.transforms.inference.cards.find_card import CARD_NAMES
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

_GROUPS = 32
_NORM_EPSILON = 1e-5
_KERNEL_EPSILON = 1e-10


class BitResNet(tf.Module):
    """A BiT ResNet without a head.

    Attributes:
      architecture: the `Architecture` that it has.
      weights: a variable for each array, by official name.
    """

    def __init__(self, architecture: str, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Take the weights that `random_weights` or `load_npz` returned for the architecture.

        Raises:
          InputError: of kind ``bad_architecture`` or ``bad_weights``.
        """
        super().__init__(name="bit_resnet")
        self.architecture = find_architecture(architecture)
        check_weights(weights, self.architecture)
        self.weights = {
            name: tf.Variable(weights[name], dtype=tf.float32, name=name)
            for name in self.architecture.shapes()
        }

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return the feature maps of images, after the final norm and ReLU, not pooled.

        Args:
          images: float32 RGB in [0, 1], ``[n, height, width, 3]``.

        Returns:
          float32 ``[n, ceil(height / 32), ceil(width / 32), features]``.
        """
        x = self._convolve(images, ROOT_KERNEL, stride=2)
        # No ReLU comes before this pooling: the zeros of the border can be the maximum.
        x = tf.nn.max_pool2d(_pad(x, 1), ksize=3, strides=2, padding="VALID")
        for unit in self.architecture.units():
            x = self._unit(x, unit)
        return self._norm_relu(x, FINAL_NORM)

    def _unit(self, x: tf.Tensor, unit: Unit) -> tf.Tensor:
        a, b, c = (f"{unit.prefix}/{layer}" for layer in "abc")
        shortcut = x
        x = self._norm_relu(x, norm_name(a))
        if unit.projected:
            shortcut = self._convolve(x, projection_name(unit.prefix), unit.stride)
        x = self._convolve(x, kernel_name(a))
        x = self._convolve(self._norm_relu(x, norm_name(b)), kernel_name(b), unit.stride)
        x = self._convolve(self._norm_relu(x, norm_name(c)), kernel_name(c))
        return x + shortcut

    def _convolve(self, x: tf.Tensor, kernel: str, stride: int = 1) -> tf.Tensor:
        return _standardized_convolution(x, self.weights[kernel], stride)

    def _norm_relu(self, x: tf.Tensor, norm: str) -> tf.Tensor:
        gamma, beta = self.weights[f"{norm}/gamma"], self.weights[f"{norm}/beta"]
        return tf.nn.relu(_group_norm(x, gamma, beta))


def _pad(x: tf.Tensor, pixels: int) -> tf.Tensor:
    return tf.pad(x, [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]])


def _standardized_convolution(x: tf.Tensor, kernel: tf.Variable, stride: int) -> tf.Tensor:
    """Convolve with a kernel brought to mean 0 and variance 1 in each output channel.

    Weight standardisation is Qiao et al., https://arxiv.org/abs/1903.10520.
    """
    mean, variance = tf.nn.moments(kernel, axes=[0, 1, 2], keepdims=True)
    kernel = (kernel - mean) * tf.math.rsqrt(variance + _KERNEL_EPSILON)
    # With a stride of 2, padding "SAME" would take other pixels: it pads one pixel less before than
    # behind.
    border = (kernel.shape[0] - 1) // 2
    return tf.nn.conv2d(_pad(x, border) if border else x, kernel, stride, padding="VALID")


def _group_norm(x: tf.Tensor, gamma: tf.Variable, beta: tf.Variable) -> tf.Tensor:
    """Normalise groups (https://arxiv.org/abs/1803.08494), as one scale and shift a channel."""
    shape, channels = tf.shape(x), x.shape[-1]
    groups = [_GROUPS, channels // _GROUPS]
    grouped = tf.reshape(x, [shape[0], shape[1] * shape[2], *groups])
    mean, variance = tf.nn.moments(grouped, axes=[1, 3], keepdims=True)
    scale = tf.reshape(gamma, groups) * tf.math.rsqrt(variance + _NORM_EPSILON)
    shift = tf.reshape(beta, groups) - mean * scale
    per_channel = [shape[0], 1, 1, channels]
    return x * tf.reshape(scale, per_channel) + tf.reshape(shift, per_channel)


def save_model(
    directory: str | os.PathLike[str],
    *,
    architecture: str,
    modality: str,
    weights: Mapping[str, npt.NDArray[np.float32]],
    signature: str | None = None,
    card: bytes | None = None,
) -> None:
    """Write a SavedModel that is called as the REMEDIS models are.

    ``tf.saved_model.load(directory)(images)`` takes float32 RGB in [0, 1],
    ``[n, size, size, 3]`` for any n from 1, where size is 224 pixels for ``path`` and 448 for
    ``cxr``, and answers the feature map of `BitResNet`. The directory gets its name when
    it is complete.

    Args:
      directory: a local path that does not exist, or is an empty directory.
      architecture: ``50x1`` or ``152x2``.
      modality: ``path`` (pathology) or ``cxr`` (chest X-rays).
      weights: arrays by official name.
      signature: name of a signature ``inputs`` → ``feature_map``; None for no signature at all,
        as REMEDIS.
      card: a model card, which is written into the directory.

    Raises:
      InputError: of kind ``exists`` when something is in the way; ``not_local`` for a URI;
        ``unwritable``; ``bad_modality``, ``bad_signature``, ``bad_architecture`` or
        ``bad_weights``.
    """
    target = _free_directory(directory)
    if modality not in INPUT_SIZE:
        known = ", ".join(INPUT_SIZE)
        raise InputError(
            Kind.BAD_MODALITY, f"no modality is called {modality!r}: use one of {known}"
        )
    if signature is not None and not re.fullmatch(r"[A-Za-z]\w*", signature, re.ASCII):
        raise InputError(
            Kind.BAD_SIGNATURE,
            f"--signature must be a letter, then letters, digits or _, got {signature!r}",
        )
    exported = _exported(BitResNet(architecture, weights), INPUT_SIZE[modality])
    # An empty mapping: given None, TensorFlow would make a `serving_default` of `__call__`.
    signatures = {} if signature is None else {signature: _signature(exported)}
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(Kind.UNWRITABLE, f"cannot write {directory}: {one_line(error)}") from error
    try:
        tf.saved_model.save(exported, str(partial), signatures=signatures)
        if card is not None:
            (partial / CARD_NAMES[0]).write_bytes(card)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _free_directory(directory: str | os.PathLike[str]) -> Path:
    if "://" in os.fspath(directory):
        raise InputError(
            Kind.NOT_LOCAL, f"{directory} is a URI: a model is written to a local path"
        )
    target = Path(directory).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(Kind.EXISTS, f"{directory} exists: remove it, or choose another path")
    return target


def _exported(network: BitResNet, size: int) -> tf.Module:
    exported = tf.Module(name="bit")
    exported.network = network
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="inputs")
    exported.__call__ = tf.function(network.__call__, input_signature=[spec])
    return exported


def _signature(exported: tf.Module) -> Any:
    @tf.function(input_signature=exported.__call__.input_signature)
    def feature_map(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"feature_map": exported.__call__(inputs)}

    return feature_map
