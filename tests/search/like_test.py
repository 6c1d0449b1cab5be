import numpy as np
import pytest

from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.problems import InputError
from beamscope.transforms.search.like import find_like
from tests.search.datasets import write_dataset

VECTORS = np.random.default_rng(2).standard_normal((20, 4)).astype(np.float32)
IDS = ["a"] * 3 + ["b:1,2"] * 9 + ["c"] * 8


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(write_dataset(tmp_path / "d", VECTORS, ids=IDS, group=4))


@pytest.mark.parametrize(
    ("like", "row"),
    [
        ("a:0,0", 0),
        ("a:99,99", 0),
        ("a:100,5", 1),
        ("b:1,2:850,50", 11),
        ("c:0,99", 12),
        ("c:799,0", 19),
    ],
)
def test_a_point_is_in_a_patch(dataset, like, row):
    found = find_like(dataset, like)
    np.testing.assert_array_equal(found.embedding, VECTORS[row])
    assert found.values["slide_id"] == IDS[row]
    table = dataset.shards[found.shard].read([found.group], ["x_level0"])
    assert table["x_level0"][found.row].as_py() == found.values["x_level0"]


@pytest.mark.parametrize(
    ("like", "kind", "message"),
    [
        (
            "a:300,0",
            "bad_query",
            "no patch of the dataset holds this point; the nearest is a:20",
        ),
        ("a:0,-1", "bad_query", "the nearest is a:0,0"),
        ("a", "bad_query", "a: is no file, and no place of a slide such as SLIDE_ID:X,Y"),
        ("d:1,1", "unknown_item", "there is no slide 'd'"),
    ],
)
def test_what_is_not_there_errors(dataset, like, kind, message):
    with pytest.raises(InputError, match=message) as caught:
        find_like(dataset, like)
    assert caught.value.kind == kind
