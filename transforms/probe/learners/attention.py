"""Attention-pooled bags: a gated attention network over patches (Ilse, Tomczak, Welling 2018).

A patch's attention is ``softmax(w · (tanh(V x) * sigmoid(U x)))`` over its bag, and a linear layer
predicts from the mean of the patches weighted by it. It is small and trained by TensorFlow for a
fixed number of epochs, so no validation set is taken from the training units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.probe.arrays import Floats, Ints
from beamscope.transforms.probe.bags import Bags
from beamscope.transforms.probe.learners.base import Fitted, Scaler
from beamscope.transforms.probe.target import Target

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


@dataclasses.dataclass(frozen=True)
class Attention:
    """An attention-pooled linear model of bags.

    Attributes:
      hidden: size of the attention's hidden layer.
      epochs: number of passes over the training bags.
      batch: bags a step.
      rate: learning rate of Adam (Kingma and Ba 2015).
      decay: weight decay (Loshchilov and Hutter 2019).
      seed: of the first weights and of the order of bags.
    """

    hidden: int = 64
    epochs: int = 60
    batch: int = 32
    rate: float = 2e-3
    decay: float = 1e-2
    seed: int = 0
    name: str = "attention"

    def fit(self, inputs: Bags, target: Target, groups: Ints) -> Fitted:  # noqa: ARG002
        """Return a model of bags."""
        import tensorflow as tf

        random = np.random.default_rng(self.seed)
        scaler = _scaler(inputs)
        answers, centre, scale = _answers(target)
        network = _Network(inputs.patches.shape[1], self.hidden, _outputs(target), random)
        moments = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v)))
                   for v in network.variables]  # fmt: skip
        loss = _LOSSES[target.task]

        @tf.function(reduce_retracing=True)
        def step(number: Any, values: Any, mask: Any, truth: Any) -> None:
            with tf.GradientTape() as tape:
                logits, _ = network(values, mask)
                error = loss(truth, logits)
            gradients = tape.gradient(error, network.variables)
            for variable, gradient, (first, second) in zip(
                network.variables, gradients, moments, strict=True
            ):
                first.assign(_BETA_1 * first + (1 - _BETA_1) * gradient)
                second.assign(_BETA_2 * second + (1 - _BETA_2) * gradient**2)
                upwards = first / (1 - _BETA_1**number)
                spread = tf.sqrt(second / (1 - _BETA_2**number)) + _EPSILON
                variable.assign_sub(self.rate * (upwards / spread + self.decay * variable))

        number = 0
        for _ in range(self.epochs):
            for some in _batches(len(inputs), self.batch, random):
                number += 1
                values, mask = inputs.padded(some)
                step(tf.constant(float(number)), _scaled(scaler, values, mask), mask, answers[some])
        return FittedAttention(
            scaler, network, target.task, centre, scale, {"epochs": float(self.epochs)}
        )


class _Network:
    def __init__(
        self, features: int, hidden: int, outputs: int, random: np.random.Generator
    ) -> None:
        import tensorflow as tf

        def weights(rows: int, columns: int) -> Any:
            drawn = random.normal(size=(rows, columns)) / np.sqrt(rows)
            return tf.Variable(drawn.astype(np.float32))

        self.tanh, self.gate = weights(features, hidden), weights(features, hidden)
        self.attention, self.linear = weights(hidden, 1), weights(features, outputs)
        self.bias = tf.Variable(np.zeros(outputs, np.float32))
        self.variables = [self.tanh, self.gate, self.attention, self.linear, self.bias]

    def __call__(self, values: Any, mask: Any) -> tuple[Any, Any]:
        """Return logits ``[n, outputs]`` and attention ``[n, most]``, which sums to 1 in a bag."""
        import tensorflow as tf

        raw = self.raw_attention(values)
        attention = tf.nn.softmax(tf.where(mask > 0, raw, -1e9), axis=1)
        pooled = tf.einsum("nmd,nm->nd", values, attention)
        return pooled @ self.linear + self.bias, attention

    def raw_attention(self, values: Any) -> Any:
        """Return the attention before the softmax, ``[...]`` of patches ``[..., D]``."""
        import tensorflow as tf

        hidden = tf.tanh(values @ self.tanh) * tf.sigmoid(values @ self.gate)
        return (hidden @ self.attention)[..., 0]


@dataclasses.dataclass(frozen=True, eq=False)
class FittedAttention:
    """A fitted model of bags."""

    scaler: Scaler
    network: _Network
    task: str
    centre: float
    scale: float
    chosen: Mapping[str, float]

    def scores(self, inputs: Bags) -> Floats:
        """Return ``[n, S]`` of n bags."""
        logits = [self._logits(*inputs.padded(some)) for some in _in_order(len(inputs))]
        found = np.concatenate(logits).astype(np.float64)
        if self.task == "classification":
            odds = np.exp(found - found.max(1, keepdims=True))
            return np.asarray(odds / odds.sum(1, keepdims=True))
        if self.task == "multilabel":
            return np.asarray(1 / (1 + np.exp(-found)))
        return np.asarray(found * self.scale + self.centre)

    def patch_scores(self, patches: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Return the scores of patches alone, ``[n, S]``, and their attention before the softmax.

        The attention ``[n]`` is on one scale for all patches of a dataset: the softmax over a slide
        turns it into the patch's weight there.
        """
        each = np.arange(len(patches))
        alone = Bags(patches.astype(np.float32, copy=False), each, np.ones_like(each))
        scaled = self.scaler(patches).astype(np.float32)
        raw = self.network.raw_attention(scaled).numpy().astype(np.float64)
        return self.scores(alone), raw

    def _logits(
        self, values: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        logits, _ = self.network(_scaled(self.scaler, values, mask), mask)
        return np.asarray(logits)


def _scaler(bags: Bags) -> Scaler:
    return Scaler(bags.patches[bags.rows()])


def _scaled(
    scaler: Scaler, values: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return (scaler(values) * mask[..., None]).astype(np.float32)


def _batches(units: int, batch: int, random: np.random.Generator) -> Iterator[Ints]:
    order = random.permutation(units)
    for start in range(0, units, batch):
        yield order[start : start + batch]


def _in_order(units: int, batch: int = 256) -> Iterator[Ints]:
    for start in range(0, units, batch):
        yield np.arange(start, min(start + batch, units))


def _outputs(target: Target) -> int:
    return len(target.classes) if target.classes else 1


def _answers(target: Target) -> tuple[npt.NDArray[np.float32], float, float]:
    """Return what the loss compares with, and how a predicted number becomes one of the label."""
    if target.task == "regression":
        centre, scale = float(target.values.mean()), float(target.values.std()) or 1.0
        return ((target.values - centre) / scale).astype(np.float32), centre, scale
    if target.task == "survival":
        return target.values.astype(np.float32), 0.0, 1.0
    return target.one_hot().astype(np.float32), 0.0, 1.0


def _cross_entropy(truth: Any, logits: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(truth, logits))


def _label_entropy(truth: Any, logits: Any) -> Any:
    import tensorflow as tf

    known = tf.math.logical_not(tf.math.is_nan(truth))
    truth = tf.where(known, truth, 0.0)
    each = tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
    return tf.math.divide_no_nan(
        tf.reduce_sum(tf.where(known, each, 0.0)), tf.reduce_sum(tf.cast(known, tf.float32))
    )


def _squared_error(truth: Any, logits: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean((truth - logits) ** 2)


def _partial_likelihood(truth: Any, risks: Any) -> Any:
    """Return Cox's negative log partial likelihood of a batch, ties by Breslow, for each event."""
    import tensorflow as tf

    times, events, risks = truth[:, 0], truth[:, 1], risks[:, 0]
    at_risk = times[None, :] >= times[:, None]
    everyone = tf.reduce_logsumexp(tf.where(at_risk, risks[None, :], -1e9), axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(events * (everyone - risks)), tf.reduce_sum(events))


_LOSSES = {
    "classification": _cross_entropy,
    "multilabel": _label_entropy,
    "regression": _squared_error,
    "survival": _partial_likelihood,
}
