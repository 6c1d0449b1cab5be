import json

import numpy as np
import pytest

from beamscope.transforms.probe.rows import DatasetRows
from beamscope.transforms.probe.vectors import mean_vectors, sample_patients, sampled_bags
from beamscope.transforms.problems import InputError
from tests.probe.datasets import classes_of, units_of, write_slides

RANDOM = np.random.default_rng(0)
SLIDES = {f"s{place}": RANDOM.normal(size=(50 + 97 * place, 4)) for place in range(4)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("d") / "slides"
    return DatasetRows(write_slides(root, SLIDES, shards=3))


def test_rows_of_all_shards_in_order(rows):
    everything = np.concatenate(list(SLIDES.values())).astype(np.float32)
    starts, batches = zip(*rows.batches("embedding"), strict=True)
    assert np.array_equal(np.concatenate(batches), everything)
    assert list(starts) == np.cumsum([0, *map(len, batches[:-1])]).tolist()
    assert (rows.of_slides, rows.embeddings, rows.features("embedding")) == (True, ["embedding"], 4)


def test_means(rows):
    # Units 0 and 1 are slides; unit 2 is two slides of one patient.
    of_rows = np.repeat([1, 0, 2, 2], [len(patches) for patches in SLIDES.values()])
    found = mean_vectors(rows, "embedding", of_rows, 3)
    both = np.concatenate([SLIDES["s2"], SLIDES["s3"]])
    expected = np.stack([SLIDES["s1"].mean(0), SLIDES["s0"].mean(0), both.mean(0)])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_rows_without_a_unit_are_left_out(rows):
    of_rows = np.full(sum(map(len, SLIDES.values())), -1)
    of_rows[10:12] = 0
    found = mean_vectors(rows, "embedding", of_rows, 1)
    np.testing.assert_allclose(found[0], SLIDES["s0"][10:12].mean(0), rtol=1e-5)


def test_bags_of_all_rows_or_a_sample(rows):
    of_rows = np.repeat([1, -1, 0, 0], [len(patches) for patches in SLIDES.values()])
    bags = sampled_bags(rows, "embedding", of_rows, 2, most=100, seed=0)
    assert bags.counts.tolist() == [100, 50]
    assert np.array_equal(bags.patches[bags[np.array([1])].rows()],
                          SLIDES["s0"].astype(np.float32))  # fmt: skip
    both = np.concatenate([SLIDES["s2"], SLIDES["s3"]]).astype(np.float32)
    sample = bags.patches[bags[np.array([0])].rows()]
    places = [int(np.flatnonzero((both == one).all(1))[0]) for one in sample]
    # A sample without repetition, in the order of the rows, of both slides.
    assert places == sorted(set(places))
    assert min(places) < len(SLIDES["s2"]) <= max(places)
    again = sampled_bags(rows, "embedding", of_rows, 2, most=100, seed=0)
    other = sampled_bags(rows, "embedding", of_rows, 2, most=100, seed=1)
    assert np.array_equal(bags.patches, again.patches)
    assert not np.array_equal(bags.patches, other.patches)


def test_a_sample_is_of_whole_patients():
    groups = np.repeat(np.arange(50), 4)
    units = units_of(classes_of(groups % 2), groups)
    assert len(sample_patients(units, 200, 100, 20_000, seed=0)) == 200
    kept = sample_patients(units, 200, 100, 5_000, seed=0)
    assert len(kept) == 48
    assert all((groups[kept] == patient).sum() == 4 for patient in set(groups[kept]))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "holds no finished dataset"),
        ({"shards": [{"files": ["embeddings-tfrecord/a.tfrecord"]}]}, "has no Parquet shards"),
        ({"shards": []}, "the dataset is empty"),
    ],
)
def test_dataset_errors(tmp_path, description, message):
    if description is not None:
        found = {"counts": {"rows": 0, "slides": {}}, "schema": {}, **description}
        (tmp_path / "dataset.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=message):
        DatasetRows(str(tmp_path))
