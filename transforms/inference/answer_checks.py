"""Check that a model's answer for an image depends on that image, and on nothing else."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import numpy.typing as npt

from beamscope.transforms.inference.backends.base import Embed, LoadedModel
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

# How often a model that draws random numbers gets the same images: an augmentation may leave an
# image as it is, half of the time or more often.
_SUSPICIOUS_CALLS = 12

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far two answers to one image may differ; only what is beyond both is a difference.

    Attributes:
      of_spread: as a fraction of how far the answers to different images differ.
      of_length: as a fraction of the answers' length.
    """

    of_spread: float
    of_length: float


# The same call twice repeats all sums in their order, but for some reductions on GPUs.
SAME_CALL = Tolerance(of_spread=0.01, of_length=1e-5)
# Kernels may sum in another order for another number of images: some 1e-6 of the length in float32
# and 1e-3 in float16. Batch normalisation in training mode changes answers by tenths of the spread.
SAME_IMAGE = Tolerance(of_spread=0.05, of_length=1e-4)
# Answers to unlike images that are closer than this, relative to their length, are one answer.
_CONSTANT = 1e-6


def check_answers(loaded: LoadedModel) -> None:
    """Check that a model's answer for an image depends on that image, and on nothing else.

    The model gets the same images twice, then each of them alone (or one among other images, where
    it takes no other number of them). The answer to an image must stay the same, there must be one
    answer for each image, unlike images must have unlike answers, and calls may not change the
    weights.

    Raises:
      InputError: ``bad_model``; the message says what is wrong, and what to do.
    """
    name, batch = loaded.spec.name, loaded.spec.fixed_batch
    weights = loaded.weights_that_calls_may_change()
    images = loaded.trial_pixels
    first = _answers(loaded, images, lambda _: loaded.trial_answers)
    different = first if len(first) > 1 else np.concatenate([first, _answers(loaded, 255 - images)])
    spread = _spread(name, different)
    calls = _SUSPICIOUS_CALLS if loaded.draws_random_numbers() else 1
    for _ in range(calls):
        again = _answers(loaded, images)
        if not same_answers(first, again, spread, SAME_CALL):
            raise _bad(
                name,
                "gives another answer when it gets the same images again "
                f"({_difference(first, again)}): chance, or what it was called with before, is a "
                "part of it, as with dropout and augmentation layers in training mode. Export it "
                "for inference (training=False), without them",
            )
    if calls > 1:
        _log.warning(
            "model %s: draws random numbers; they did not change its answers in %d calls",
            name,
            calls,
        )
    if batch is None:
        # Each of them: what comes from the first image, or from the place in the batch, shows only
        # in the answers to the others.
        elsewhere = np.concatenate([_answers(loaded, image[None]) for image in images])
        where = "alone"
    else:
        turned = np.concatenate([255 - images[1:], images[:1]])
        elsewhere, where = _answers(loaded, turned)[-1:], "among others"
    if not same_answers(first[: len(elsewhere)], elsewhere, spread, SAME_IMAGE):
        raise _bad(
            name,
            f"gives another answer for an image {where} than in a batch "
            f"({_difference(first[: len(elsewhere)], elsewhere)}): the other images, or its place "
            "among them, are a part of it, as with batch normalisation in training mode. Export it "
            "for inference (training=False)",
        )
    after = loaded.weights_that_calls_may_change()
    changed = [weight for weight, digest in weights.items() if after[weight] != digest]
    if changed:
        raise _bad(
            name,
            f"changes its variable {changed[0]} when it is called, so that answers may depend on "
            "the images before, as the running means of a model in training mode. Export it for "
            "inference (training=False)",
        )


def same_answers(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], spread: float, tolerance: Tolerance
) -> bool:
    """Return whether two computations of the same embeddings ``[n, D]`` agree.

    Args:
      a: embeddings; where one is not finite, the other has to be the same there.
      b: the same embeddings, computed once more.
      spread: how far the embeddings of different images differ, in Euclidean length.
      tolerance: how far they may differ.
    """
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    a, b = np.where(finite, a, 0).astype(np.float64), np.where(finite, b, 0).astype(np.float64)
    apart = np.linalg.norm(a - b, axis=1)
    lengths = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    beyond = (apart > tolerance.of_spread * spread) & (apart > tolerance.of_length * lengths)
    return not bool(beyond.any())


def _spread(name: str, answers: npt.NDArray[np.float32]) -> float:
    """Return the median distance of the answers to different images from one another."""
    finite = answers[np.isfinite(answers).all(axis=1)].astype(np.float64)
    if len(finite) < 2:
        raise _bad(name, "answers images with NaN or infinity: is --input_range right?")
    first, second = np.triu_indices(len(finite), k=1)
    apart = np.linalg.norm(finite[first] - finite[second], axis=1)
    length = float(np.linalg.norm(finite, axis=1).max())
    if length == 0 or float(apart.max()) <= _CONSTANT * length:
        what = "zeros" if length == 0 else "the same numbers"
        raise _bad(
            name,
            f"answers every image with {what}: were its weights loaded before it was exported? Is "
            "--output_key the right output, and --input_range right?",
        )
    return float(np.median(apart))


def _answers(
    loaded: LoadedModel, images: npt.NDArray[np.uint8], answer: Embed | None = None
) -> npt.NDArray[np.float32]:
    name, count = loaded.spec.name, len(images)
    try:
        answers = (answer or loaded.answer)(images)
    except Exception as error:
        raise _bad(name, f"fails on a batch of {count} images: {one_line(error)}") from error
    if answers.shape != (count, loaded.spec.features):
        raise _bad(
            name,
            f"answers {count} images with shape {list(answers.shape)}, not with one row of "
            f"{loaded.spec.features} features for each: wrap the model (docs/models.md)",
        )
    return answers


def _difference(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> str:
    x, y = a.astype(np.float64), b.astype(np.float64)
    cosines = (x * y).sum(axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))
    return f"cosine {cosines.min():.4f}"


def _bad(name: str, message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, f"model {name}: {message}")
