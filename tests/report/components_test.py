"""Principal components from streamed batches, against those of all rows at once."""

import numpy as np
import pytest

from beamscope.transforms.report.components import MOST_FEATURES, fit_components


def rows_of(seed, rows=400, features=12, offset=0.0):
    random = np.random.default_rng(seed)
    scales = np.linspace(5, 0.1, features)
    return (random.standard_normal((rows, features)) * scales + offset).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_batches_give_the_components_of_all_rows(offset):
    rows = rows_of(1, offset=offset)
    found = fit_components(np.split(rows, [1, 90, 250]))
    assert found is not None
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
    for axis, expected in zip(found.axes.T, vectors[:3], strict=True):
        assert abs(axis @ expected) == pytest.approx(1, abs=1e-4)
    variance = singular**2 / (singular**2).sum()
    np.testing.assert_allclose(found.explained, variance[:3], rtol=1e-3)
    np.testing.assert_allclose(found.project(rows).mean(axis=0), 0, atol=1e-2)
    assert found.rows == 400


def test_colours_are_alike_where_embeddings_are():
    rows = np.concatenate([rows_of(1, 50) * 0.01, rows_of(2, 50) * 0.01 + 40])
    found = fit_components([rows])
    assert found is not None
    colors = found.colors(rows).astype(int)
    assert colors.shape == (100, 3)
    within = np.abs(colors[:50, 0] - colors[0, 0]).max()
    between = np.abs(colors[:50, 0].mean() - colors[50:, 0].mean())
    assert between > 10 * max(1, within)


def test_the_same_rows_have_the_same_colours_whatever_the_batches():
    rows = rows_of(3)
    one, other = fit_components([rows]), fit_components(np.split(rows, 4))
    assert one is not None
    assert other is not None
    difference = np.abs(one.colors(rows).astype(int) - other.colors(rows).astype(int))
    assert np.median(difference) <= 8


def test_long_embeddings_are_folded_and_keep_their_groups():
    random = np.random.default_rng(0)
    centres = random.standard_normal((2, 3 * MOST_FEATURES)).astype(np.float32)
    noise = random.standard_normal((60, 3 * MOST_FEATURES)).astype(np.float32) * 0.1
    rows = centres[np.arange(60) % 2] + noise
    found = fit_components([rows])
    assert found is not None
    first = found.project(rows)[:, 0]
    assert (np.sign(first[::2]) == np.sign(first[0])).all()
    assert (np.sign(first[1::2]) == -np.sign(first[0])).all()


def test_folding_keeps_inner_products_in_the_mean():
    """Against the definition: each feature goes to one place with one sign."""
    rows = rows_of(5, 8, MOST_FEATURES + 700)
    found = fit_components([rows])
    assert found is not None
    random = np.random.default_rng(0)
    place = random.integers(0, MOST_FEATURES, rows.shape[1])
    signs = random.choice(np.array([-1, 1], np.float32), rows.shape[1])
    expected = np.zeros((8, MOST_FEATURES))
    for feature in range(rows.shape[1]):
        expected[:, place[feature]] += signs[feature] * rows[:, feature]
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("batches", [[], [np.zeros((0, 4), np.float32)], [np.ones((1, 4))]])
def test_too_few_rows_have_none(batches):
    assert fit_components(batches) is None


def test_rows_that_are_all_alike_have_one_colour():
    found = fit_components([np.ones((20, 5), np.float32)])
    assert found is not None
    assert len(np.unique(found.colors(np.ones((4, 5), np.float32)), axis=0)) == 1
