import numpy as np
import pytest

from beamscope.transforms.inference.batches import padded_batches


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [(0, 3, []), (1, 1, [(0, 1)]), (3, 3, [(0, 3)]), (4, 3, [(0, 3), (3, 1)]), (2, 3, [(0, 2)])],
)
def test_padded_batches(n: int, size: int, expected: list[tuple[int, int]]) -> None:
    pixels = np.arange(1, 1 + n * 12, dtype=np.uint8).reshape(n, 2, 2, 3)[:, ::-1]
    batches = list(padded_batches(pixels, size))
    assert [(start, count) for start, count, _ in batches] == expected
    for start, count, batch in batches:
        assert batch.shape == (size, 2, 2, 3)
        assert batch.flags.c_contiguous
        np.testing.assert_array_equal(batch[:count], pixels[start : start + count])
        assert not batch[count:].any()
