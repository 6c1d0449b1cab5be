"""The way from grey levels to what a model takes: its range, mean, standard deviation and channels.

Every backend takes it from here and computes it in its own graph; `PixelMap.apply` is the same in
NumPy, for what has no graph. Free of any library of models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

# Range of a model's input -> (factor, offset) that takes a grey level of 0 to 255 there.
INPUT_RANGES: dict[str, tuple[float, float]] = {
    "0..1": (1 / 255, 0.0),
    "-1..1": (2 / 255, -1.0),
    "0..255": (1.0, 0.0),
}
# These take grey levels as they are. An int8 cannot hold 255.
INTEGER_DTYPES = ("uint8", "int32", "int64", "int16", "uint16")

# Luma of Rec. ITU-R BT.601; of equal channels, as X-ray films have, it is their grey level.
LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class PixelMap:
    """The arithmetic that takes uint8 RGB ``[n, H, W, 3]`` to the values of a model's input.

    The steps, in order: choose the channels, or their luma; convert to float32; multiply by
    `factor`; add `offset`. The layout and a narrower dtype come after it.

    Attributes:
      channels: which of R, G and B, by position, the channels of the input are: ``(0, 1, 2)`` for
        RGB and ``(2, 1, 0)`` for BGR; None for luma, which makes one channel.
      factor: one for all channels, or one for each.
      offset: likewise.
      integers: the input takes grey levels: luma is rounded, and nothing is scaled.
    """

    channels: tuple[int, ...] | None
    factor: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    integers: bool = False

    @property
    def multiplies(self) -> bool:
        """Whether `factor` changes anything."""
        return any(value != 1.0 for value in self.factor)

    @property
    def adds(self) -> bool:
        """Whether `offset` changes anything."""
        return any(value != 0.0 for value in self.offset)

    @property
    def reorders(self) -> bool:
        """Whether the channels get another order."""
        return self.channels is not None and self.channels != (0, 1, 2)

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Compute it for uint8 RGB ``[n, H, W, 3]``: float32 ``[n, H, W, 3]``, or 1 for luma."""
        values: npt.NDArray[np.float32]
        if self.channels is None:
            values = (pixels.astype(np.float32) @ np.array(LUMA, np.float32))[..., None]
            values = np.rint(values) if self.integers else values
        else:
            values = pixels[..., list(self.channels)].astype(np.float32)
        if self.multiplies:
            values = values * np.array(self.factor, np.float32)
        if self.adds:
            values = values + np.array(self.offset, np.float32)
        return values


def pixel_map(
    *,
    dtype: str,
    channels: int,
    input_range: str,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: str = "rgb",
) -> PixelMap:
    """Return the arithmetic for a model's input: ``(ranged grey level - mean) / std``.

    Args:
      dtype: of the input; integers take grey levels as they are.
      channels: 3, or less for luma.
      input_range: what black..white becomes, a key of `INPUT_RANGES`.
      mean: one for all channels, or one for each in the model's order.
      std: likewise, as many as of `mean`.
      channel_order: ``rgb`` or ``bgr``.
    """
    order = (2, 1, 0) if channel_order == "bgr" else (0, 1, 2)
    chosen = order if channels == 3 else None
    if dtype in INTEGER_DTYPES:
        return PixelMap(chosen, integers=True)
    factor, offset = INPUT_RANGES[input_range]
    if mean is None or std is None:
        return PixelMap(chosen, (factor,), (offset,))
    pairs = list(zip(mean, std, strict=True))
    return PixelMap(
        chosen,
        tuple(factor / each_std for _, each_std in pairs),
        tuple((offset - each_mean) / each_std for each_mean, each_std in pairs),
    )


def check_normalisation(
    input_range: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> None:
    """Raise InputError (``bad_option``) where mean, standard deviation and range contradict."""
    if mean is None and std is None:
        return
    if mean is None or std is None:
        given, absent, value = ("mean", "std", "1") if std is None else ("std", "mean", "0")
        raise _bad(f"--input_{given}: give --input_{absent} too ({value} for a model without one)")
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, 3):
            raise _bad(
                f"--input_{name} takes one number, or one for each of three channels, got "
                f"{len(values)}"
            )
        if not all(np.isfinite(values)):
            raise _bad(f"--input_{name} must be finite numbers, got {_listed(values)}")
    if len(mean) != len(std):
        raise _bad(f"--input_mean has {len(mean)} numbers and --input_std {len(std)}")
    if min(std) <= 0:
        raise _bad(f"--input_std must be above 0, got {_listed(std)}")
    _check_scale(input_range or "0..1", mean, std)


def _check_scale(input_range: str, mean: Sequence[float], std: Sequence[float]) -> None:
    if input_range == "-1..1":
        raise _bad(
            "--input_mean and --input_std are of 0..1 or 0..255, and --input_range=-1..1 is itself "
            "a mean and a std of 0.5: leave out the one or the other"
        )
    high = float(input_range.partition("..")[2])
    if min(mean) < 0 or max(mean) > high or max(std) > high:
        larger = " (or add --input_range 0..255)" if high == 1 and min(mean) >= 0 else ""
        raise _bad(
            f"--input_mean {_listed(mean)} --input_std {_listed(std)}: must lie within the input "
            f"range {input_range}{larger}"
        )
    # 0 and 1 say "no mean" and "no std" in either range.
    if high == 255 and 0 < max(mean) <= 1:
        raise _bad(
            f"--input_mean {_listed(mean)}: is of the range 0..1, and --input_range is 0..255"
        )


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _bad(message: str) -> InputError:
    return InputError(Kind.BAD_OPTION, message)
