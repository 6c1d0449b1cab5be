import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slide_vectors.inputs import Tensor, bag_inputs


def tensor(name, *shape):
    return Tensor(name, shape, "float32")


@pytest.mark.parametrize(
    ("inputs", "features", "expected"),
    [
        ([tensor("x", None, 8)], 8, ("x", None)),
        ([tensor("x", 1, None, 8)], 8, ("x", None)),
        ([tensor("x", None, None)], 8, ("x", None)),
        ([Tensor("x", None, "float32")], 8, ("x", None)),
        ([tensor("a", None, 2), tensor("b", None, 8)], 8, ("b", "a")),
        ([tensor("coords", None, None), tensor("b", None, 8)], 8, ("b", "coords")),
        # With two features the name has to tell.
        ([tensor("a", None, 2)], 2, ("a", None)),
        ([tensor("positions", None, 2), tensor("a", None, 2)], 2, ("a", "positions")),
    ],
)
def test_inputs_are_recognised(inputs, features, expected):
    found = bag_inputs(inputs, features, "m")
    assert (found.embeddings.name, found.coordinates and found.coordinates.name) == expected


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [tensor("x", None, 9)],
        [tensor("x", 100, 8)],
        [tensor("x", None, 224, 224, 3)],
        [tensor("x", None, 8), tensor("y", None, 8)],
        [tensor("x", None, 8), tensor("mask", None)],
        [tensor("x", None, 2), tensor("y", None, 2), tensor("z", None, 8)],
    ],
)
def test_bag_inputs_errors(inputs):
    with pytest.raises(InputError, match=r"--model m: must take embeddings \[N, 8\] or"):
        bag_inputs(inputs, 8, "m")
