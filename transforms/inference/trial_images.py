"""Images that models are tried on before they embed anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def structured_images(n: int, size: int) -> npt.NDArray[np.uint8]:
    """Return images to try a model on, uint8 ``[n, size, size, 3]``, no two of them alike.

    Each has stripes of another period and direction in each channel, over coarse blocks, with
    noise: flat images would leave most units of a network silent.
    """
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    angle = random.uniform(0, np.pi, (n, 1, 1, 3))
    period = random.uniform(2, size / 4 + 2, (n, 1, 1, 3))
    phase = 2 * np.pi * size / period
    waves = np.sin(phase * (x[..., None] * np.cos(angle) + y[..., None] * np.sin(angle)))
    blocks = random.uniform(-1, 1, (n, 8, 8, 3))
    cell = np.arange(size) * 8 // size
    grey = 128 + 50 * waves + 60 * blocks[:, cell][:, :, cell]
    grey += random.normal(0, 10, grey.shape)
    return np.clip(grey, 0, 255).astype(np.uint8)
