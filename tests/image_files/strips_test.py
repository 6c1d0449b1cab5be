import numpy as np
import pytest

from beamscope.transforms.image_files import strips


@pytest.mark.parametrize("shape", [(0,), (1, 1), (7, 5), (1000, 3), (5, 1000, 3), (1, 5000)])
@pytest.mark.parametrize("values", [1, 16, 1 << 20])
def test_strips_give_the_whole(shape, values, monkeypatch):
    monkeypatch.setattr(strips, "_VALUES", values)
    image = np.random.default_rng(0).integers(0, 1000, shape)
    sizes = []

    def double(some):
        sizes.append(some.size)
        return (2 * some).astype(np.float32)

    found = strips.in_strips(double, image)
    assert found.dtype == np.float32
    assert np.array_equal(found, 2 * image)
    row = image.size // max(1, len(image))
    assert max(sizes) <= max(values, row)


def test_a_strip_may_lose_its_channels():
    image = np.random.default_rng(0).integers(0, 9, (3000, 500, 3))
    assert np.array_equal(strips.in_strips(lambda some: some.max(axis=2), image), image.max(axis=2))
