"""Exact search, against all cosines computed by NumPy in float64."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.problems import InputError
from beamscope.transforms.search.nearest import nearest
from tests.search.datasets import write_dataset

RNG = np.random.default_rng(2)
VECTORS = RNG.standard_normal((60, 12)).astype(np.float32)


def places(dataset, hits):
    """The number of each hit in the whole dataset."""
    before = {}
    total = 0
    for shard, reader in enumerate(dataset.shards):
        for group in range(reader.groups):
            before[shard, group] = total
            total += reader.rows_of(group)
    return [before[hit.shard, hit.group] + hit.row for hit in hits]


def cosines(vectors, query):
    vectors, query = np.asarray(vectors, np.float64), np.asarray(query, np.float64)
    return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 1e-3)])
@pytest.mark.parametrize("threads", [1, 4])
def test_hits_are_those_of_another_library(tmp_path, dtype, tolerance, threads):
    root = write_dataset(tmp_path / "d", VECTORS, dtype=dtype)
    dataset = open_dataset(root)
    query = RNG.standard_normal(12)
    hits = nearest(dataset, query, 9, threads=threads)
    model = NearestNeighbors(n_neighbors=9, metric="cosine", algorithm="brute").fit(VECTORS)
    distances, expected = model.kneighbors(query[None])
    found = places(dataset, hits)
    if dtype == "float32":
        assert found == expected[0].tolist()
    np.testing.assert_allclose([hit.cosine for hit in hits], 1 - distances[0], atol=tolerance)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 80), st.integers(1, 5), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_any_division_into_shards_gives_the_same(tmp_path, k, shards, group, seed):
    rng = np.random.default_rng(seed)
    # Few values, so that many cosines are equal.
    vectors = rng.integers(-1, 2, (60, 3)).astype(np.float32)
    vectors[0] = 1
    folder = tmp_path / f"{k}-{shards}-{group}-{seed}"
    if not folder.exists():
        write_dataset(folder, vectors, shards=shards, group=group)
    dataset = open_dataset(str(folder))
    query = np.array([1.0, 2.0, -1.0])
    hits = nearest(dataset, query, k)
    with np.errstate(invalid="ignore"):
        expected = cosines(vectors, query)
    known = np.flatnonzero(np.isfinite(expected))
    assert len(hits) == min(k, len(known))
    found = places(dataset, hits)
    best = np.sort(expected[known])[::-1][:k]
    np.testing.assert_allclose([hit.cosine for hit in hits], best, atol=1e-6)
    np.testing.assert_allclose(expected[found], best, atol=1e-6)
    assert len(set(found)) == len(found)
    # Rows of equal cosine are in the order of the dataset.
    order = [(-hit.cosine, place) for hit, place in zip(hits, found, strict=True)]
    assert order == sorted(order)


def test_a_row_can_be_left_out_and_rows_of_zeros_are_never_found(tmp_path):
    vectors = VECTORS.copy()
    vectors[3] = 0
    dataset = open_dataset(write_dataset(tmp_path / "d", vectors, group=7))
    hits = nearest(dataset, vectors[8], 60)
    assert places(dataset, hits)[0] == 8
    assert hits[0].cosine == pytest.approx(1)
    others = nearest(dataset, vectors[8], 60, exclude=(0, 1, 1))
    assert places(dataset, others) == places(dataset, hits)[1:]
    assert 3 not in places(dataset, hits)
    assert len(hits) == 59


def test_progress_counts_every_row(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / "d", VECTORS))
    counted = []
    nearest(dataset, VECTORS[0], 3, progress=counted.append)
    assert sum(counted) == 60


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.zeros(12), "zero, or not finite"),
        (np.full(12, np.nan), "zero, or not finite"),
        (np.ones(11), "has 11 numbers, the dataset 12"),
    ],
)
def test_a_vector_that_cannot_be_compared_errors(tmp_path, query, message):
    dataset = open_dataset(write_dataset(tmp_path / "d", VECTORS))
    with pytest.raises(InputError, match=message) as caught:
        nearest(dataset, query, 3)
    assert caught.value.kind == "bad_query"


def test_pages_that_only_arrow_reads_are_compared_too(tmp_path):
    root = tmp_path / "d"
    expected = nearest(open_dataset(write_dataset(root, VECTORS)), VECTORS[8], 60)
    for path in (root / "embeddings").iterdir():
        table = pq.read_table(path)
        pq.write_table(table, path, row_group_size=7, compression="none", use_dictionary=False,
                       data_page_version="2.0")  # fmt: skip
    found = nearest(open_dataset(str(root)), VECTORS[8], 60)
    np.testing.assert_allclose([h.cosine for h in found], [h.cosine for h in expected], atol=1e-6)
    assert {(h.shard, h.group, h.row) for h in found} == {
        (h.shard, h.group, h.row) for h in expected
    }


def test_a_shard_that_is_gone_errors(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / "d", VECTORS))
    (tmp_path / "d" / "embeddings" / "embeddings-00001-of-00002.parquet").unlink()
    with pytest.raises(InputError, match="embeddings-00001") as caught:
        nearest(dataset, VECTORS[0], 3)
    assert caught.value.kind == "unreadable_dataset"
