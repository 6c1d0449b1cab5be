import pytest

from beamscope.transforms.inference.input_shapes import ImageInput, image_inputs
from beamscope.transforms.inference.model_settings import Layout

LAST, FIRST = "channels_last", "channels_first"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, 224, 224, 3), [(LAST, 3)]),
        ((None, None, None, 3), [(LAST, 3)]),
        ((8, 224, 224, 3), [(LAST, 3)]),
        ((None, 3, 224, 224), [(FIRST, 3)]),
        ((None, 3, None, None), [(FIRST, 3)]),
        ((None, 224, 224, 1), [(LAST, 1)]),
        ((None, 1, 224, 224), [(FIRST, 1)]),
        ((None, 224, 224), [(LAST, 0)]),
        ((None, None, None), [(LAST, 0)]),
        # A known axis of channels rules out an unknown one.
        ((None, 3, 224, None), [(FIRST, 3)]),
        ((None, 3, 224, 3), [(LAST, 3), (FIRST, 3)]),
        ((None, 3, 3, 224), [(FIRST, 3)]),
        # Nothing tells.
        ((None, 3, 3, 3), [(LAST, 3), (FIRST, 3)]),
        ((None, None, None, None), [(LAST, 3), (FIRST, 3)]),
        (None, [(LAST, 3), (FIRST, 3)]),
        # Not a batch of images.
        ((None,), []),
        ((None, 2048), []),
        ((224, 224, 3), []),
        ((None, None, 3), []),
        ((None, 100, 224), []),
        ((None, 224, 224, 4), []),
        ((None, 8, 224, 224, 3), []),
    ],
)
def test_image_inputs(
    shape: tuple[int | None, ...] | None, expected: list[tuple[Layout, int]]
) -> None:
    found = image_inputs(shape)
    assert [(reading.layout, reading.channels) for reading in found] == expected


@pytest.mark.parametrize("layout", [LAST, FIRST])
def test_image_inputs_of_a_layout(layout: Layout) -> None:
    (found,) = image_inputs((None, 3, 3, 3), layout)
    assert found.layout == layout
    assert image_inputs((None, 64, 64, 3), FIRST) == ()


def test_image_inputs_says_batch_and_sides() -> None:
    (found,) = image_inputs((4, 3, 32, None))
    assert found == ImageInput("channels_first", 3, 4, 32, None)
    (found,) = image_inputs((None, 16, 24, 3))
    assert (found.height, found.width, found.is_square) == (16, 24, False)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((None, 8, 8, 3), (2, 8, 8, 3)),
        ((None, 1, 8, 8), (2, 1, 8, 8)),
        ((None, 8, 8), (2, 8, 8)),
    ],
)
def test_shape(shape: tuple[int | None, ...], expected: tuple[int, ...]) -> None:
    assert image_inputs(shape)[0].shape(2, 8) == expected
