"""Find the axes of a model's input: batch, height, width and channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from beamscope.transforms.inference.model_settings import Layout


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """One way to read the shape of an input as a batch of images.

    Attributes:
      layout: where the channels are.
      channels: 3 for RGB, 1 for grey levels, 0 for grey levels without an axis of channels.
      batch: how many images a call takes where the model is bound to a number; else None.
      height: in pixels where the model is bound to a size, else None; `width` likewise.
    """

    layout: Layout
    channels: int
    batch: int | None
    height: int | None
    width: int | None

    @property
    def is_square(self) -> bool:
        """Whether it may be of squares: the model may leave a side open."""
        return None in (self.height, self.width) or self.height == self.width

    def shape(self, count: int, size: int) -> tuple[int, ...]:
        """Return the shape of a batch of `count` images of `size` x `size` pixels."""
        if self.channels == 0:
            return (count, size, size)
        if self.layout == "channels_first":
            return (count, self.channels, size, size)
        return (count, size, size, self.channels)


def image_inputs(
    shape: Sequence[int | None] | None, layout: Layout | None = None
) -> tuple[ImageInput, ...]:
    """Return every way to read an input's shape as a batch of images.

    The channels are the axis of 3 (RGB) or 1 (grey): the last one, or the one after the batch. An
    axis that is known to be channels rules out one of unknown length. Where both readings stay, but
    only one is of squares, it is that one.

    Args:
      shape: of the input, None for a length that the model leaves open; None where not even the
        number of axes is known.
      layout: the only one to consider, where the user says it.

    Returns:
      none for what is no batch of images, one where the axes are clear, and both, channels last
      first, where nothing tells them apart.
    """
    lengths = [None] * 4 if shape is None else list(shape)
    if len(lengths) == 3:
        batch, height, width = lengths
        grey = ImageInput("channels_last", 0, batch, height, width)
        # [height, width, 3] is one image, not a batch of them.
        return (grey,) if grey.is_square and width not in (1, 3) else ()
    if len(lengths) != 4:
        return ()
    batch, second, third, last = lengths
    readings = [
        (last, ImageInput("channels_last", last or 3, batch, second, third)),
        (second, ImageInput("channels_first", second or 3, batch, third, last)),
    ]
    possible = [
        (channels, reading)
        for channels, reading in readings
        if channels in (None, 1, 3) and layout in (None, reading.layout)
    ]
    if any(channels is not None for channels, _ in possible):
        possible = [(channels, reading) for channels, reading in possible if channels is not None]
    found = [reading for _, reading in possible]
    square = [reading for reading in found if reading.is_square]
    return tuple(square or found)
