"""Find the values that a model's input takes: range, mean, standard deviation, channel order."""

from __future__ import annotations

import dataclasses

from beamscope.transforms.inference.model_settings import ChannelOrder, ModelSettings
from beamscope.transforms.inference.preprocessing import INTEGER_DTYPES, PixelMap, pixel_map
from beamscope.transforms.inference.remedis import parse_remedis_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_WIDE_DTYPES = ("int16", "uint16")


@dataclasses.dataclass(frozen=True)
class InputValues:
    """What becomes of grey levels before a model sees them; see `ModelSpec` for the attributes.

    `mean` and `std` are as the user gave them: one number, or one for each of three channels.
    """

    name: str
    dtype: str
    input_range: str
    range_source: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    channel_order: ChannelOrder

    def for_channels(self, channels: int) -> InputValues:
        """Return the values with one mean and std for each channel of the input.

        Args:
          channels: 3 for RGB, 1 or 0 for luma.

        Raises:
          InputError: ``bad_model`` where the input has not the channels that the flags are for.
        """
        if channels == 3:
            if self.mean is None or self.std is None or len(self.mean) == 3:
                return self
            return dataclasses.replace(self, mean=self.mean * 3, std=self.std * 3)
        if self.channel_order != "rgb":
            raise _bad(self.name, "takes one grey channel, which rules out --channel_order bgr")
        if self.mean is not None and len(self.mean) != 1:
            raise _bad(
                self.name, "takes one grey channel, and --input_mean and --input_std are of three"
            )
        return self

    def pixel_map(self, channels: int) -> PixelMap:
        """Return the arithmetic for an input of some channels.

        Raises:
          InputError: as `for_channels`.
        """
        found = self.for_channels(channels)
        return pixel_map(
            dtype=found.dtype,
            channels=channels,
            input_range=found.input_range,
            mean=found.mean,
            std=found.std,
            channel_order=found.channel_order,
        )


def input_values(name: str, settings: ModelSettings, dtype: str) -> InputValues:
    """Find the values for an input of some dtype.

    Raises:
      InputError: ``bad_model`` where the dtype contradicts the settings.
    """
    input_range, source = _input_range(name, settings, dtype)
    mean, std = settings.input_mean, settings.input_std
    if dtype in INTEGER_DTYPES and mean is not None:
        raise _bad(name, f"takes {dtype}, which rules out --input_mean and --input_std")
    return InputValues(
        name=name,
        dtype=dtype,
        input_range=input_range,
        range_source=source,
        mean=None if mean is None else tuple(map(float, mean)),
        std=None if std is None else tuple(map(float, std)),
        channel_order=settings.channel_order or "rgb",
    )


def _input_range(name: str, settings: ModelSettings, dtype: str) -> tuple[str, str]:
    if dtype in INTEGER_DTYPES:
        if settings.input_range not in (None, "0..255"):
            raise _bad(name, f"takes {dtype}, which rules out --input_range {settings.input_range}")
        # What takes 16 bits may want other values than grey levels.
        wide = "assumed" if settings.input_range is None else "option"
        return "0..255", wide if dtype in _WIDE_DTYPES else "dtype"
    if settings.input_range:
        return settings.input_range, "option"
    remedis = parse_remedis_name(settings.uri)
    if remedis:
        return remedis.input_range, "REMEDIS name"
    return "0..1", "assumed" if settings.input_mean is None else "mean and std"


def _bad(name: str, message: str) -> InputError:
    return InputError(Kind.BAD_MODEL, f"model {name}: {message}")
