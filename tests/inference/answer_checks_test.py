"""Models in numpy, each with a different fault; they need no model library."""

import logging
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from beamscope.transforms.inference.answer_checks import (
    SAME_CALL,
    SAME_IMAGE,
    Tolerance,
    check_answers,
    same_answers,
)
from beamscope.transforms.inference.backends.base import LoadedModel
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.problems import InputError

SIZE, FEATURES = 16, 6
KERNEL = np.random.default_rng(5).normal(size=(4 * 4 * 3, FEATURES))
Answer = Callable[["Model", np.ndarray], np.ndarray]


class Model(LoadedModel):
    def __init__(self, answer: Answer, batch: int | None = None, suspicious: bool = False) -> None:
        self.settings = ModelSettings("m")
        self.spec = ModelSpec(
            "test", "m", "9f", "object", "images", SIZE, "model", "uint8", "channels_last", 3,
            "0..255", "dtype", None, (FEATURES,), "channels_last", "none", 0, FEATURES, batch,
        )  # fmt: skip
        self.random = np.random.default_rng(0)
        self.calls = 0
        self.suspicious = suspicious
        self._answer = answer

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        return self.answer(pixels)

    def answer(self, pixels: np.ndarray) -> np.ndarray:
        self.calls += 1
        assert self.spec.fixed_batch in (None, len(pixels))
        return self._answer(self, pixels).astype(np.float32)

    def draws_random_numbers(self) -> bool:
        return self.suspicious


def right(_: Model, pixels: np.ndarray) -> np.ndarray:
    cells = pixels.reshape(len(pixels), 4, 4, 4, 4, 3).mean(axis=(2, 4)) / 255
    return cells.reshape(len(pixels), -1) @ KERNEL


def far_from_zero(model: Model, pixels: np.ndarray) -> np.ndarray:
    """Answers with a large common part, which a cosine does not see."""
    return 1000 + right(model, pixels)


def rounded(model: Model, pixels: np.ndarray) -> np.ndarray:
    """Sums whose order depends on the number of images, as those of fast kernels."""
    return right(model, pixels) * (1 + 1e-6 * len(pixels))


def half_precision(model: Model, pixels: np.ndarray) -> np.ndarray:
    return right(model, pixels).astype(np.float16)


@pytest.mark.parametrize("answer", [right, far_from_zero, rounded, half_precision])
@pytest.mark.parametrize("batch", [None, 1, 2, 5])
def test_check_answers(answer: Answer, batch: int | None) -> None:
    check_answers(Model(answer, batch))


def batch_norm(model: Model, pixels: np.ndarray) -> np.ndarray:
    answers = right(model, pixels)
    return (answers - answers.mean(axis=0)) / (answers.std(axis=0) + 0.1) + 0.3


def batch_norm_far_from_zero(model: Model, pixels: np.ndarray) -> np.ndarray:
    return 1000 + batch_norm(model, pixels)


def less_the_first(model: Model, pixels: np.ndarray) -> np.ndarray:
    """Has the first image alone right."""
    answers = right(model, pixels)
    return answers - 0.5 * (np.arange(len(answers)) > 0)[:, None] * answers[:1]


def by_place(model: Model, pixels: np.ndarray) -> np.ndarray:
    return right(model, pixels) + np.arange(len(pixels))[:, None]


def flipped_by_chance(model: Model, pixels: np.ndarray) -> np.ndarray:
    flips = model.random.random(len(pixels)) < 0.5
    return right(model, np.where(flips[:, None, None, None], pixels[:, :, ::-1], pixels))


def seldom_flipped(model: Model, pixels: np.ndarray) -> np.ndarray:
    return right(model, pixels[:, ::-1] if model.calls == 9 else pixels)


def dropout(model: Model, pixels: np.ndarray) -> np.ndarray:
    answers = right(model, pixels)
    return answers * (model.random.random(answers.shape) < 0.9)


def remembers(model: Model, pixels: np.ndarray) -> np.ndarray:
    return right(model, pixels) + 0.1 * model.calls


def average(model: Model, pixels: np.ndarray) -> np.ndarray:
    return right(model, pixels).mean(axis=0, keepdims=True)


def zeros(model: Model, pixels: np.ndarray) -> np.ndarray:
    return 0 * right(model, pixels)


def constant(model: Model, pixels: np.ndarray) -> np.ndarray:
    return np.tile(KERNEL[0], (len(pixels), 1))


def nothing_finite(model: Model, pixels: np.ndarray) -> np.ndarray:
    return right(model, pixels) * np.inf


def fails(model: Model, pixels: np.ndarray) -> np.ndarray:
    raise RuntimeError("too many\nimages")


@pytest.mark.parametrize(
    ("answer", "batch", "message"),
    [
        (batch_norm, None, "another answer for an image alone than in a batch .*training=False"),
        (batch_norm, 4, "another answer for an image among others than in a batch"),
        (batch_norm_far_from_zero, None, "another answer for an image alone"),
        (less_the_first, None, "another answer for an image alone"),
        (less_the_first, 4, "another answer for an image among others"),
        (by_place, None, "another answer for an image alone .*or its place among them"),
        (by_place, 4, "another answer for an image among others"),
        (dropout, None, "another answer when it gets the same images again .*training=False"),
        (dropout, 1, "the same images again"),
        (flipped_by_chance, None, "the same images again"),
        (remembers, None, "what it was called with before"),
        (average, None, r"answers 3 images with shape \[1, 6\], not with one row of 6"),
        (average, 4, r"answers 4 images with shape \[1, 6\]"),
        (zeros, None, "answers every image with zeros: .*--input_range"),
        (zeros, 1, "answers every image with zeros"),
        (constant, None, "answers every image with the same numbers: .*--output_key"),
        (constant, 1, "answers every image with the same numbers"),
        (nothing_finite, None, "NaN or infinity"),
        (fails, None, "fails on a batch of 3 images: too many images"),
    ],
)
def test_check_answers_errors(answer: Answer, batch: int | None, message: str) -> None:
    with pytest.raises(InputError, match=f"^model m: .*{message}") as raised:
        check_answers(Model(answer, batch))
    assert raised.value.kind == "bad_model"
    assert "\n" not in raised.value.message


def test_a_model_that_draws_random_numbers_is_called_more_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_answers(Model(seldom_flipped))
    with pytest.raises(InputError, match="the same images again"):
        check_answers(Model(seldom_flipped, suspicious=True))
    with caplog.at_level(logging.WARNING):
        check_answers(Model(right, suspicious=True))
    assert "draws random numbers; they did not change its answers in 12 calls" in caplog.text


class Drifting(Model):
    """Has weights that a call changes, by less than answers show."""

    def weights_that_calls_may_change(self) -> Mapping[str, bytes]:
        return {"kernel": b"the same", "mean": bytes([self.calls])}


def test_a_model_whose_calls_change_its_weights_is_refused() -> None:
    with pytest.raises(InputError, match="changes its variable mean when it is called"):
        check_answers(Drifting(right))


NAN = np.nan


@pytest.mark.parametrize(
    ("a", "b", "spread", "tolerance", "expected"),
    [
        ([[3, 4]], [[3, 4]], 1, SAME_CALL, True),
        ([[3, 4]], [[3, 4.1]], 1, SAME_CALL, False),
        ([[3, 4]], [[3, 4.04]], 1, SAME_IMAGE, True),
        ([[3, 4]], [[3, 4.06]], 1, SAME_IMAGE, False),
        # Within rounding of the length, however close the images' answers are.
        ([[300, 400]], [[300, 400.04]], 1e-3, SAME_IMAGE, True),
        ([[300, 400]], [[300, 400.06]], 1e-3, SAME_IMAGE, False),
        ([[0, 0]], [[0, 0]], 1, SAME_CALL, True),
        ([[NAN, 1]], [[NAN, 1]], 1, SAME_CALL, True),
        ([[NAN, 1]], [[2, 1]], 1, SAME_CALL, False),
        ([[0, 1], [5, 5]], [[0, 1], [5, 9]], 1, SAME_IMAGE, False),
    ],
)
def test_same_answers(
    a: list[list[float]], b: list[list[float]], spread: float, tolerance: Tolerance, expected: bool
) -> None:
    assert same_answers(np.float32(a), np.float32(b), spread, tolerance) is expected
